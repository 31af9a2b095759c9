"""The rules of docs/architecture.md, checked against the source; each test names its rule."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Rule 1. Lowest first; a module imports only its own package and what stands above it in the list.
LAYERS = {
    "service": [
        # What knows neither photographs nor jobs:
        "terminal",
        "log",
        "interning",
        "signals",
        "filesystem",
        "config",
        "backoff",
        # What is known of a photograph: its job, then its files, then how it arrives:
        "ledger",
        "storage",
        "watch",
        # What is done with it, and what is told of that:
        "pipeline",
        "systemd",
        "monitoring",
        # What people and the timer ask for:
        "maintenance",
        "web",
        "training",
        # What starts all of it:
        "daemon",
        "cli",
    ],
    "worker": [
        # What knows no image:
        "settings",
        "errors",
        "atomic",
        # Numbers, then what a file says, then files:
        "color",
        "metadata",
        "formats",
        # A generator's file and its versions:
        "models",
        # From a file to one gray plane, and from chroma to a file:
        "replaced_color",
        "untoning",
        "display",
        "difference",
        "reference",
        "scan",
        "render",
        # A generator at work, what people look at, then how a generator is made:
        "inference",
        "cluster",
        "viewing",
        "training.evaluation",
        "training.data",
        "training",
    ],
}

# Rule 2.
PIXEL_LIBRARIES = {"numpy", "PIL", "cv2", "tensorflow", "keras", "tifffile", "imagecodecs", "h5py"}
HEAVY = {"tensorflow", "keras", "cv2", "PIL", "numpy"}
LOADS_HEAVY = {  # what colors or trains; everything else answers at once
    "service.pipeline",
    "service.daemon",
    "service.training",
    "service.monitoring.reporter",  # it looks at the pipeline
}

# Rule 3. What each may import of this project; None: anything that is pure enough.
PURE = {
    "worker.color.upsampling": set(),
    "worker.color.spreading": {"worker.color.upsampling"},
    "worker.color.palettes": {"worker.color.upsampling"},
    "worker.color.prior_shift": {"worker.color.upsampling"},
    "worker.color.cielab": {"worker.color", "worker.color.upsampling"},  # and merge_loop, in C
    "worker.inference.batches": {"worker.color.cielab"},
    "worker.inference.wishes": {
        "worker.settings",
        "worker.color",
        "worker.color.cielab",
        "worker.color.palettes",
        "worker.color.prior_shift",
        "worker.color.spreading",
        "worker.color.upsampling",
    },
    "worker.settings": set(),
    "worker.errors": set(),
    "service.backoff": {"service.config.sections"},
    "service.monitoring.health": set(),
    "service.watch.stability": None,
}
NAMES_OF_FILES = {"service.watch.stability": {"pathlib", "pathlib.Path"}}  # as keys, never opened
IMPURE = {
    "os",
    "pathlib",
    "time",
    "random",
    "datetime",
    "threading",
    "socket",
    "subprocess",
    "logging",
    "structlog",
    "shutil",
}
ON_DISK = (
    ".stat",
    ".lstat",
    ".exists",
    ".is_file",
    ".is_dir",
    ".open",
    ".iterdir",
    ".resolve",
    ".glob",
)

# Rule 4. A home is a package or a module.
HOMES = {
    "watchdog": {"service.watch.observer"},
    "sqlite3": {"service.ledger.database"},
    "yaml": {"service.config.yaml_text"},
    "typer": {"service.cli"},
    "bagit": {"service.maintenance.layouts.plain"},
    "prometheus_client": {"service.monitoring.metrics"},
    "starlette": {"service.web"},
    "uvicorn": {"service.web.server"},
    "jinja2": {"service.web.pages"},
    "sse_starlette": {"service.web.service_page"},
    "argon2": {"service.web.users"},
    "lxml": {"worker.metadata"},
    "c2pa": {"worker.metadata.credentials"},
    "PIL": {"worker.formats", "worker.color.icc", "worker.color.watermark"},
    "tifffile": {"worker.formats.tiff"},
    "imagecodecs": {"worker.formats", "worker.color.icc"},
    "pi_heif": {"worker.formats.heic_process"},
    "tensorflow": {"worker.inference", "worker.models.export"},
    "keras": {"worker.models", "worker.inference", "worker.training"},
    "h5py": {"worker.models.safe_archive"},
    "tf2onnx": {"worker.models.export"},
    "onnxruntime": {"worker.models.export"},
    "ray": {"worker.cluster.bridge", "worker.cluster.crew"},
    "matplotlib": {"worker.training.curves"},
    "tensorboard": {"worker.training.run_log"},
}

# Rule 5.
STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE FROM|PRAGMA|(CREATE|ALTER|DROP) TABLE)\b")
CHANGE = re.compile(r"\s*(INSERT|UPDATE|DELETE FROM)\b")
CHANGES_FILES = {
    "service.daemon.backfill",  # its config.yaml
    "service.filesystem",
    "service.storage",  # alone moves, replaces or deletes what archivists own
    "service.maintenance.iiif_export",  # its export, of copies
    "service.maintenance.iiif_files",
    "service.maintenance.packing",  # its package, of copies
    "service.maintenance.pyramid_maker",  # pyramids and thumbnails, which anyone may make again
    "service.maintenance.rebuild",  # the ledger's file
    "service.monitoring.heartbeat",  # its own file
    "service.monitoring.metrics",  # the file for node_exporter
    "service.watch.folder_settings",  # the page that tells of mistakes
    "service.training.scheduled",  # the list of what was learned from
    "service.systemd.files",  # the units
    "service.maintenance.picture_cache",  # its own cache
    "service.cli.install",  # removes them
    "service.web.users",  # the users' file
}
FILE_CALLS = {
    "os.rename",
    "os.replace",
    "os.remove",
    "os.unlink",
    "os.link",
    "shutil.move",
    "shutil.copy",
    "shutil.copy2",
    "shutil.copyfile",
    "shutil.rmtree",
    "write_durably",
    "write_atomically",
    "replacing",
}
FILE_METHODS = (".unlink", ".rename", ".write_bytes", ".write_text", ".symlink_to", ".hardlink_to")
READS_ONLY = {  # what tells people how things stand
    "service.ledger.queries",
    "service.monitoring.status",
    "service.monitoring.status_reader",
    "service.monitoring.find",
    "service.cli.status_page",
    "service.cli.find_page",
    "service.cli.status_commands",
    "service.web",  # changes jobs only by way of service.maintenance
}
CHANGES = {  # modules and names that those have no business with
    "service.storage.deliveries",
    "service.storage.departures",
    "service.storage.moves",
    "service.pipeline",
    "service.daemon",
}

# Rule 6.
KERAS_ONLY = [
    "worker.models.decoding",
    "worker.models.generator",
    "worker.training.discriminator",
    "worker.training.losses",
    "worker.training.gan",
    "worker.training.validation",
    "worker.training.trainer",
    "worker.training.train",
]

# Rule 7.
MOST_LINES = 400  # of a module; near 80 to 250 is the aim
MOST_LINES_OF_A_FUNCTION = 50

# Rule 9.
FORBIDDEN_NAMES = {"utils", "util", "helper", "helpers", "manager", "managers", "common", "misc"}
BRITISH = {"colour", "grey", "colourize", "neighbour"}
TOP_LEVEL = {
    "worker",
    "service",
    "tests",
    "docs",
    "config.yaml",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
}


def sources() -> dict[str, Path]:
    """Find every module of the product by its dotted name."""
    paths = [
        path for package in ("worker", "service") for path in sorted((ROOT / package).rglob("*.py"))
    ]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }


SOURCES = sources()
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in SOURCES.items()}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names imported anywhere in a tree; `from a import b` gives a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_at_once(tree: ast.Module) -> set[str]:
    """Return the names imported when the module is: not inside functions, not for types only."""
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    kept = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside
    ]
    return {name for node in kept for name in imported(ast.Module([node], []))}


IMPORTS = {name: frozenset(imported(tree)) for name, tree in TREES.items()}
AT_ONCE = {name: frozenset(imported_at_once(tree)) for name, tree in TREES.items()}


def libraries(names: AbstractSet[str]) -> set[str]:
    """Return the first parts of dotted names."""
    return {name.split(".")[0] for name in names}


def modules_of(package: str) -> list[str]:
    """List the modules of a package."""
    return [name for name in SOURCES if name == package or name.startswith(f"{package}.")]


@cache
def reached(start: str, *, at_once: bool) -> frozenset[str]:
    """Return the modules of this project that `start` imports, directly or by way of others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in TREES:
            continue
        seen.add(name)
        waiting += [*(AT_ONCE if at_once else IMPORTS)[name], name.rpartition(".")[0]]
    return frozenset(seen)


def within(name: str, homes: set[str]) -> bool:
    """Tell whether a module is one of these, or lies in one that is a package."""
    return any(f"{name}.".startswith(f"{home}.") for home in homes)


def loads_heavy(name: str) -> set[str]:
    """Return the modules by way of which importing one loads a heavy library at once."""
    ways = reached(name, at_once=True)
    return {other for other in ways if HEAVY & libraries(AT_ONCE[other])}


def called(name: str) -> set[str]:
    """Return what a module calls, as it is written."""
    calls = (node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call))
    return {ast.unparse(call.func) for call in calls}


def texts(name: str) -> list[str]:
    """Return the strings in a module."""
    nodes = (node for node in ast.walk(TREES[name]) if isinstance(node, ast.Constant))
    return [node.value for node in nodes if isinstance(node.value, str)]


# The tables above


def test_the_tables_speak_of_what_there_is() -> None:
    """No rule is of a module that has been moved away."""
    layers = {f"{side}.{name}" for side, names in LAYERS.items() for name in names}
    homes = {home for homes in HOMES.values() for home in homes}
    rooms = layers | LOADS_HEAVY | PURE.keys() | homes | CHANGES_FILES | READS_ONLY | CHANGES

    assert set() == (rooms | set(KERAS_ONLY)) - set(SOURCES)


def test_every_exception_is_needed() -> None:
    """A home is where its library is used; what may load the heavy does; so with changed files."""
    idle = {
        (library, home)
        for library, homes in HOMES.items()
        for home in homes
        if not any(library in libraries(IMPORTS[one]) for one in modules_of(home))
    }
    light = {home for home in LOADS_HEAVY if not any(map(loads_heavy, modules_of(home)))}
    still = {home for home in CHANGES_FILES if not any(map(changes_files, modules_of(home)))}

    assert set() == idle | light | still


# Rule 1


@pytest.mark.parametrize("name", modules_of("worker"))
def test_the_worker_never_imports_the_service(name: str) -> None:
    """Rule 1: worker knows pixels and never chooses a folder."""
    assert "service" not in libraries(IMPORTS[name])


def layer(name: str) -> int:
    """Return how high in its side's layers a module stands."""
    side, _, rest = name.partition(".")
    found = [one for one in LAYERS[side] if within(rest, {one})]
    assert found, f"{name} has no place in LAYERS"
    return LAYERS[side].index(max(found, key=len))


@pytest.mark.parametrize("name", [name for name in SOURCES if "." in name])
def test_no_module_imports_a_higher_layer(name: str) -> None:
    """Rule 1: imports go down, inside functions too, so that no two packages need each other."""
    side = name.partition(".")[0]
    inside = {other for other in IMPORTS[name] if other in SOURCES and other.startswith(f"{side}.")}

    assert not [other for other in inside if layer(other) > layer(name)]


@pytest.mark.parametrize("side", LAYERS)
def test_no_module_imports_itself_by_way_of_others(side: str) -> None:
    """Rule 1: no circle, inside a package neither."""
    graph = {
        name: {other for other in IMPORTS[name] if other in SOURCES and other != name}
        for name in modules_of(side)
    }

    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("side", LAYERS)
def test_no_file_name_stands_twice(side: str) -> None:
    """Rule 1: within a side a file's name says which file is meant."""
    stems = [path.stem for name in modules_of(side) if (path := SOURCES[name]).stem != "__init__"]

    assert [] == sorted({stem for stem in stems if stems.count(stem) > 1})


@pytest.mark.parametrize(
    "name", [name for name in modules_of("worker") if not within(name, {"worker.training"})]
)
def test_what_colors_never_imports_training(name: str) -> None:
    """Rule 1: nothing that colors a photo depends on training, not even by way of others."""
    ways = reached(name, at_once=False)

    assert not [other for other in ways if within(other, {"worker.training"})]


# Rule 2


@pytest.mark.parametrize("name", modules_of("service"))
def test_the_service_never_looks_at_a_pixel(name: str) -> None:
    """Rule 2: service imports no library of pixels or networks, not even inside a function."""
    assert set() == PIXEL_LIBRARIES & libraries(IMPORTS[name])


@pytest.mark.parametrize(
    "name", [name for name in modules_of("service") if not within(name, LOADS_HEAVY)]
)
def test_what_answers_at_once_loads_no_network(name: str) -> None:
    """Rule 2: not even by way of worker does it load a heavy library before it is needed.

    So the commands import what colors and trains inside their functions.
    """
    assert set() == loads_heavy(name)


def test_the_command_line_answers_without_tensorflow() -> None:
    """Rule 2: in a fresh process, importing the command line loads no heavy library."""
    question = f"import sys, service.cli.main; print(*sorted({HEAVY} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", question],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "" == answer.stdout.strip()


# Rule 3


@pytest.mark.parametrize("name", PURE)
def test_the_pure_modules_are_pure(name: str) -> None:
    """Rule 3: no files, clock, dice, threads or logs; time and randomness are arguments."""
    names = IMPORTS[name] - NAMES_OF_FILES.get(name, set())
    calls = called(name)

    assert set() == IMPURE & libraries(names)
    assert not {
        name
        for name in names
        if name.startswith(("numpy.random", "worker.scan", "worker.inference.device"))
    }
    if (allowed := PURE[name]) is not None:
        assert {other for other in names if other in SOURCES} - set(LAYERS) <= allowed
    assert not {"open", "print", "input"} & calls
    assert not {call for call in calls if call.endswith(ON_DISK)}
    assert not {call for call in calls if "random" in call}


# Rule 4


@pytest.mark.parametrize("library", HOMES)
def test_one_library_has_one_home(library: str) -> None:
    """Rule 4: an outside library is imported in the module or package that is its home."""
    users = {name for name in SOURCES if library in libraries(IMPORTS[name])}

    assert not {name for name in users if not within(name, HOMES[library])}


# Rule 5


@pytest.mark.parametrize(
    "name", [name for name in modules_of("service") if not within(name, {"service.ledger"})]
)
def test_only_the_ledger_speaks_sql(name: str) -> None:
    """Rule 5: no other package has a statement, or the database to give it to."""
    assert [] == [text for text in texts(name) if STATEMENT.match(text)]
    assert "service.ledger.database" not in IMPORTS[name]


def test_queries_change_nothing() -> None:
    """Rule 5: the statements of `queries` only ask."""
    assert any(map(STATEMENT.match, texts("service.ledger.queries")))
    assert [] == [text for text in texts("service.ledger.queries") if CHANGE.match(text)]


def changes_files(name: str) -> set[str]:
    """Return the calls of a module that move, write or delete files."""
    calls = {call for call in called(name) if call in FILE_CALLS or call.endswith(FILE_METHODS)}
    replaced = {
        ast.unparse(node.func)
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "replace"
        and (len(node.args), node.keywords) == (1, [])  # of a path; a text's takes two
    }
    return calls | replaced


@pytest.mark.parametrize(
    "name", [name for name in modules_of("service") if not within(name, CHANGES_FILES)]
)
def test_who_decides_moves_no_file(name: str) -> None:
    """Rule 5: photographs are moved and deleted by `storage` alone; few others write files."""
    assert set() == changes_files(name)


@pytest.mark.parametrize(
    "name", [name for name in modules_of("service") if within(name, READS_ONLY)]
)
def test_what_tells_how_things_stand_only_reads(name: str) -> None:
    """Rule 5: status, find and pages neither open the ledger for writing nor move a photograph."""
    assert not [other for other in IMPORTS[name] if within(other, CHANGES)]


# Rule 6


@pytest.mark.parametrize("name", KERAS_ONLY)
def test_the_networks_run_on_every_backend(name: str) -> None:
    """Rule 6: what is trained uses keras and keras.ops only."""
    backends = {"tensorflow", "jax", "torch"}
    by_way_of = {
        library for other in reached(name, at_once=True) for library in libraries(AT_ONCE[other])
    }

    assert set() == backends & libraries(IMPORTS[name])
    assert set() == backends & by_way_of
    assert not {other for other in IMPORTS[name] if other.startswith("keras.src")}


# Rule 7


@pytest.mark.parametrize("name", SOURCES)
def test_modules_stay_small(name: str) -> None:
    """Rule 7: a module is read in one sitting."""
    assert len(SOURCES[name].read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", SOURCES)
def test_functions_stay_small(name: str) -> None:
    """Rule 7: a function fits on a screen; its docstring does not count."""
    long = []
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            if node.end_lineno - first.lineno + 1 > MOST_LINES_OF_A_FUNCTION:
                long.append(node.name)

    assert [] == long


@pytest.mark.parametrize("name", SOURCES)
def test_every_module_says_what_it_does(name: str) -> None:
    """Rule 7: a module has a docstring, and that is all there is in an `__init__.py`."""
    assert ast.get_docstring(TREES[name])
    assert SOURCES[name].stem != "__init__" or len(TREES[name].body) == 1


# Rule 8


BUILDING = ("load_model", "deserialize_keras_object")  # layers, as a file names them


@pytest.mark.parametrize("name", SOURCES)
def test_data_is_never_run(name: str) -> None:
    """Rule 8: nothing in config, ledger, cards, models or checkpoints is evaluated or unpickled."""
    runs = {"eval", "exec", "compile", "__import__"}
    unpickling = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code"}
    loose_yaml = {"load", "load_all", "full_load", "unsafe_load", "FullLoader", "UnsafeLoader"}
    nodes = list(ast.walk(TREES[name]))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    attributes = [ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)]
    yaml = {one.removeprefix("yaml.") for one in attributes if one.startswith("yaml.")}
    loads = [call for call in calls if ast.unparse(call.func) in {"np.load", "numpy.load"}]
    models = [call for call in calls if ast.unparse(call.func).endswith(BUILDING)]

    assert set() == runs & called(name)
    assert set() == unpickling & libraries(IMPORTS[name])
    assert set() == loose_yaml & yaml
    assert ["allow_pickle=False"] * len(loads) == [_said(call, "allow_pickle") for call in loads]
    assert ["safe_mode=True"] * len(models) == [_said(call, "safe_mode") for call in models]


def _said(call: ast.Call, keyword: str) -> str:
    """Return how a call gives a keyword argument."""
    return next((ast.unparse(one) for one in call.keywords if one.arg == keyword), "")


# Rule 9


def test_names_say_what_is_inside() -> None:
    """Rule 9: no utils, no manager, no helper, in file or class names."""
    parts = {part for name in SOURCES for part in name.split(".")}
    classes = {
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    assert set() == FORBIDDEN_NAMES & {piece for part in parts for piece in part.split("_")}
    assert not [name for name in classes if name.endswith(("Manager", "Helper", "Utils"))]


def test_the_words_are_american() -> None:
    """Rule 9: color, gray."""
    found = {
        (name, word)
        for name, path in SOURCES.items()
        for word in BRITISH
        if word in path.read_text().lower()
    }

    assert set() == found


def test_nothing_else_lies_at_the_top() -> None:
    """Rule 9: a new file at the top needs a reason; dot-files and local folders do not count."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}

    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


# Rule 10


def test_tests_are_no_packages() -> None:
    """Rule 10: no __init__.py under tests, else tests/worker shadows worker."""
    assert [] == list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("side", LAYERS)
def test_tests_mirror_the_tree(side: str) -> None:
    """Rule 10: tests of a package lie in the folder of its name."""
    folders = {path.parent for path in (ROOT / "tests" / side).rglob("test_*.py")}
    packages = {path.parent for path in SOURCES.values()}

    assert {folder.relative_to(ROOT / "tests") for folder in folders} <= {
        package.relative_to(ROOT) for package in packages
    }


def test_every_test_has_a_promise() -> None:
    """Rule 10: every test has a docstring of one line."""
    silent = [
        f"{path.name}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent
