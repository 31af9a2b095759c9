"""The section of config.yaml that says where photographs are colored."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from service.config.addresses import checked_place
from service.config.sections import Count, File, Section, Switch


class Engine(Section):
    """Where photographs are colored; `engine: ray` is short for its kind."""

    kind: Literal["local", "ray"] = Field(default="local", description="local or ray")
    address: Annotated[str, AfterValidator(checked_place)] = Field(
        default="127.0.0.1:6379", description="a host with a port, such as 10.0.0.1:6379"
    )
    token: File | None = Field(default=None, description="the path of a file, or null")
    shared: Switch = True
    workers: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto", description="auto or a whole number, 1 or more"
    )
    cpus: Count = 2
    gpu: Switch = False
    patience: Annotated[float, Field(ge=5, description="a number of seconds, 5 or more")] = 60.0

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, given: Any) -> Any:
        return {"kind": given} if isinstance(given, str) else given
