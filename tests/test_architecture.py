"""The rules of the house (docs/architecture.md), read off the source; each test names its rule."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 400  # lines of a module; near 80 to 250 is the aim
PIXEL_LIBRARIES = {"numpy", "PIL", "cv2", "tensorflow", "keras", "tifffile", "imagecodecs", "h5py"}
PURE = {
    "worker.color.upsampling": set(),
    "worker.color.cielab": {"worker.color.upsampling"},
    "worker.inference.batches": {"worker.color.cielab"},
    "worker.settings": set(),
    "worker.errors": set(),
    "service.monitoring.health": set(),
    "service.watch.stability": None,  # what it may take from this project is not fixed
}
NAMES_OF_FILES = {
    "service.watch.stability": {"pathlib", "pathlib.Path"}
}  # as keys, never asked of the disk
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
HOMES = {
    "watchdog": {"service.watch.observer"},
    "sqlite3": {"service.ledger.database"},
    "yaml": {"service.config.yaml_text"},
    "typer": {
        "service.cli.main",
        "service.cli.maintenance",
        "service.cli.install",
        "service.cli.train",
        "service.cli.models",
        "service.cli.options",
    },
    "bagit": {"service.maintenance.bag"},
    "prometheus_client": {"service.monitoring.metrics"},
    "lxml": {"worker.metadata.xmp", "worker.metadata.extended_xmp"},
    "c2pa": {"worker.metadata.credentials"},
    "PIL": {
        "worker.formats",
        "worker.formats.tiff",
        "worker.formats.open_image",
        "worker.color.watermark",
        "worker.color.icc",
    },
    "tifffile": {"worker.formats", "worker.formats.tiff"},
    "imagecodecs": {"worker.formats", "worker.formats.tiff", "worker.color.icc"},
    "h5py": {"worker.models.safe_archive"},
    "ray": {"worker.engine"},
    "matplotlib": {"worker.training.curves"},
    "tensorboard": {"worker.training.run_log"},
}
KERAS_ONLY = [
    "worker.models.generator",
    "worker.training.discriminator",
    "worker.training.losses",
    "worker.training.gan",
    "worker.training.validation",
    "worker.training.trainer",
    "worker.training.train",
]
LAYERS = {  # lowest first; a package or module imports only what stands before it, or itself
    "service": [
        "terminal",
        "log",
        "progress",
        "filesystem",
        "config",
        "backoff",
        "ledger",
        "storage",
        "watch",
        "pipeline",
        "systemd",
        "monitoring",
        "signals",
        "training",
        "daemon",
        "maintenance",
        "cli",
    ],
    "worker": [
        "settings",
        "errors",
        "durable",
        "color",
        "metadata",
        "formats",
        "models",
        "replaced_color",
        "untoning",
        "scan",
        "render",
        "inference",
        "training.evaluation",
        "training.data",
        "training",
    ],
}
FORBIDDEN_NAMES = {"utils", "util", "helper", "helpers", "manager", "managers", "common", "misc"}
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
STAY_AT_HOME = {  # rule 5: these decide about photos and never move one
    "service.pipeline.pipeline",
    "service.pipeline.reading",
    "service.daemon.daemon",
    "service.pipeline.intake",
    "service.watch.watcher",
    "service.storage.departures",
    "service.watch.supervisor",
    "service.cli.main",
    "service.monitoring.status",
    "service.ledger.ledger",
    "service.pipeline.failures",
    "service.daemon.model_updates",
    "service.maintenance.recolor",
    "service.maintenance.retry",
    "service.ledger.queries",
    "service.ledger.retention",
    "service.maintenance.verify",
    "service.maintenance.fixity",
}
HEAVY = {"tensorflow", "keras", "cv2", "PIL", "numpy"}
AT_WORK = {  # rule 2: what the command line imports only where it colors or trains
    "service.pipeline.engines",
    "service.pipeline.one_shot",
    "service.daemon.daemon",
    "service.training.dry_run",
    "service.training.evaluate",
    "service.daemon.model_updates",
    "service.pipeline.pipeline",
    "service.monitoring.reporter",
    "service.pipeline.reading",
    "service.ledger.retention",
    "service.daemon.reload",
    "service.daemon.model_loading",
    "service.training.run",
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


def libraries(names: set[str]) -> set[str]:
    """Return the first parts of dotted names."""
    return {name.split(".")[0] for name in names}


def modules_of(package: str) -> list[str]:
    """List the modules of a package."""
    return [name for name in SOURCES if name == package or name.startswith(f"{package}.")]


def reached(start: str, *, at_once: bool) -> set[str]:
    """Return the modules of this project that `start` imports, directly or by way of others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in TREES:
            continue
        seen.add(name)
        names = imported_at_once(TREES[name]) if at_once else set(imported(TREES[name]))
        waiting += [*names, name.rpartition(".")[0]]
    return seen


def test_there_is_something_to_test() -> None:
    """The rules below look at the real source."""
    assert {"worker.scan", "worker.training.train"} <= set(SOURCES)


@pytest.mark.parametrize("name", modules_of("worker"))
def test_the_worker_never_imports_the_service(name: str) -> None:
    """Rule 1: worker knows pixels and never chooses a folder."""
    assert "service" not in libraries(set(imported(TREES[name])))


def layer(name: str) -> int:
    """Return how high in its side's layers a module stands."""
    side, _, rest = name.partition(".")
    found = [one for one in LAYERS[side] if f"{rest}.".startswith(f"{one}.")]
    assert found, f"{name} has no place in LAYERS"
    return LAYERS[side].index(max(found, key=len))


@pytest.mark.parametrize("name", [name for name in SOURCES if "." in name])
def test_no_module_imports_a_higher_layer(name: str) -> None:
    """Rule 1: imports go down, inside functions too, so that no two packages need each other."""
    side = name.partition(".")[0]
    inside = {
        other
        for other in imported(TREES[name])
        if other in SOURCES and other.startswith(f"{side}.")
    }

    assert not [other for other in inside if layer(other) > layer(name)]


@pytest.mark.parametrize("side", LAYERS)
def test_no_module_imports_itself_by_way_of_others(side: str) -> None:
    """Rule 1: no circle, inside a package neither."""
    graph = {
        name: {other for other in imported(TREES[name]) if other in SOURCES and other != name}
        for name in modules_of(side)
    }

    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("side", LAYERS)
def test_no_file_name_stands_twice(side: str) -> None:
    """Rule 1: within a side a file's name says which file is meant."""
    stems = [path.stem for name in modules_of(side) if (path := SOURCES[name]).stem != "__init__"]

    assert [] == sorted({stem for stem in stems if stems.count(stem) > 1})


@pytest.mark.parametrize(
    "name", [name for name in modules_of("worker") if not name.startswith("worker.training")]
)
def test_the_inference_road_never_imports_training(name: str) -> None:
    """Rule 1: nothing that colors a photo depends on training, not even by way of others."""
    assert not [
        other for other in reached(name, at_once=False) if other.startswith("worker.training")
    ]


@pytest.mark.parametrize("name", modules_of("service"))
def test_the_service_never_looks_at_a_pixel(name: str) -> None:
    """Rule 2: service imports no library of pixels or networks, not even inside a function."""
    assert set() == PIXEL_LIBRARIES & libraries(set(imported(TREES[name])))


@pytest.mark.parametrize("name", sorted(set(modules_of("service")) - AT_WORK))
def test_what_answers_at_once_loads_no_network(name: str) -> None:
    """Rule 2: not even by way of worker does the service load TensorFlow before it is needed."""
    ways = reached(name, at_once=True)
    guilty = {other for other in ways if HEAVY & libraries(imported_at_once(TREES[other]))}

    assert set() == guilty


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


@pytest.mark.parametrize("name", PURE)
def test_the_pure_modules_are_pure(name: str) -> None:
    """Rule 3: no files, clock, dice, threads or logs; time and randomness are arguments."""
    names = set(imported(TREES[name])) - NAMES_OF_FILES.get(name, set())

    assert set() == IMPURE & libraries(names)
    assert not {
        name
        for name in names
        if name.startswith(("numpy.random", "worker.scan", "worker.inference.device"))
    }
    if (allowed := PURE[name]) is not None:
        inside = {other for other in names if other in SOURCES and other != "worker"}
        assert inside <= allowed
    calls = {ast.unparse(node.func) for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)}
    assert not {"open", "print", "input"} & calls
    assert not {call for call in calls if call.endswith(ON_DISK)}
    assert not {call for call in calls if "random" in call}


@pytest.mark.parametrize("library", HOMES)
def test_one_library_has_one_home(library: str) -> None:
    """Rule 4: an outside library is imported in its one room, or in its one house."""
    users = {name for name in SOURCES if library in libraries(set(imported(TREES[name])))}
    homes = HOMES[library]

    assert not {name for name in users if not homes & {name, name.rpartition(".")[0]}}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in modules_of("service")
        if name not in {"service.ledger.ledger", "service.ledger.schema"}
    ],
)
def test_only_the_ledger_speaks_sql(name: str) -> None:
    """Rule 5: no other module has a statement that changes jobs."""
    texts = [
        node.value
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    assert not [
        text
        for text in texts
        if text.lstrip().upper().startswith(("UPDATE ", "INSERT ", "DELETE FROM"))
    ]


@pytest.mark.parametrize("name", sorted(STAY_AT_HOME & set(SOURCES)))
def test_only_inbox_and_outbox_move_files(name: str) -> None:
    """Rule 5: who decides does not move: photos are moved in inbox and outbox only."""
    calls = {ast.unparse(node.func) for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)}

    assert not calls & {
        "os.rename",
        "os.replace",
        "os.remove",
        "os.unlink",
        "shutil.move",
        "shutil.copy",
        "shutil.copyfile",
    }
    assert not {call for call in calls if call.endswith((".unlink", ".rename", ".write_bytes"))}


@pytest.mark.parametrize("name", KERAS_ONLY)
def test_the_networks_run_on_every_backend(name: str) -> None:
    """Rule 6: what is trained uses keras and keras.ops only."""
    backends = {"tensorflow", "jax", "torch"}
    by_way_of = {
        library
        for other in reached(name, at_once=True)
        for library in libraries(imported_at_once(TREES[other]))
    }

    assert set() == backends & libraries(set(imported(TREES[name])))
    assert set() == backends & by_way_of
    assert not {other for other in imported(TREES[name]) if other.startswith("keras.src")}


@pytest.mark.parametrize("name", SOURCES)
def test_data_is_never_run(name: str) -> None:
    """Rule 8: nothing in config, ledger, cards, models or checkpoints is evaluated or unpickled."""
    runs = {"eval", "exec", "compile", "__import__"}
    unpickling = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code"}
    loose_yaml = {"load", "load_all", "full_load", "unsafe_load", "FullLoader", "UnsafeLoader"}
    nodes = list(ast.walk(TREES[name]))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    called = {ast.unparse(call.func) for call in calls}
    attributes = [ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)]
    yaml = {one.removeprefix("yaml.") for one in attributes if one.startswith("yaml.")}
    loads = [call for call in calls if ast.unparse(call.func) in {"np.load", "numpy.load"}]
    models = [call for call in calls if ast.unparse(call.func).endswith("load_model")]

    assert set() == runs & called
    assert set() == unpickling & libraries(set(imported(TREES[name])))
    assert set() == loose_yaml & yaml
    assert ["allow_pickle=False"] * len(loads) == [_said(call, "allow_pickle") for call in loads]
    assert ["safe_mode=True"] * len(models) == [_said(call, "safe_mode") for call in models]


def _said(call: ast.Call, keyword: str) -> str:
    """Return how a call gives a keyword argument."""
    return next((ast.unparse(one) for one in call.keywords if one.arg == keyword), "")


@pytest.mark.parametrize("name", SOURCES)
def test_modules_stay_small(name: str) -> None:
    """Rule 7: a module is read in one sitting."""
    assert len(SOURCES[name].read_text().splitlines()) <= LARGEST


@pytest.mark.parametrize("name", SOURCES)
def test_functions_stay_small(name: str) -> None:
    """Rule 7: a function fits on a screen; its docstring does not count."""
    long = []
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            if node.end_lineno - first.lineno + 1 > 50:
                long.append(node.name)

    assert [] == long


@pytest.mark.parametrize("name", SOURCES)
def test_every_module_says_what_it_does(name: str) -> None:
    """House style 1: the docstring of a module is of one line or more."""
    assert ast.get_docstring(TREES[name])


def test_names_say_what_is_inside() -> None:
    """The words: no utils, no manager, no helper, in file or class names."""
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
    """House style 10: color, gray."""
    british = {"colour", "grey", "colourize", "neighbour"}
    found = {
        (name, word)
        for name, path in SOURCES.items()
        for word in british
        if word in path.read_text().lower()
    }

    assert set() == found


def test_nothing_else_lies_at_the_top() -> None:
    """The top level holds what architecture.md lists and dot-files; local folders do not count."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}

    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_tests_are_no_packages() -> None:
    """House style 8: no __init__.py under tests, else tests/worker shadows worker."""
    assert [] == list((ROOT / "tests").rglob("__init__.py"))


def test_every_test_has_a_promise() -> None:
    """House style 9: every test has a docstring of one line."""
    silent = [
        f"{path.name}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent
