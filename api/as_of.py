"""Which past is asked for: up to a moment of the database's clock, or up to a version of one task."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from api.json_response import timestamp
from api.schemas import VERSION_MAX, Moment
from api.validation import sentence_of
from ledger.errors import ConfigurationError, InvalidValueError

Asked = TypeVar("Asked", bound=BaseModel)


class AsOfQuery(BaseModel):
    """A task as it was; neither stands for the present. What else a client sends along is none of its business."""

    model_config = ConfigDict(extra="ignore")

    as_of: Moment | None = Field(None, description="As it was at this moment: by the events recorded until then.")
    as_of_version: int | None = Field(
        None, ge=1, le=VERSION_MAX, description="As it was after this many of its events; not together with as_of."
    )

    @model_validator(mode="after")
    def _asks_for_one_past(self) -> Self:
        if self.as_of is not None and self.as_of_version is not None:
            sentence = "as_of and as_of_version must not both be given"
            raise ValueError(sentence)
        return self

    @property
    def is_past(self) -> bool:
        """Whether anything but the present is asked for."""
        return self.as_of is not None or self.as_of_version is not None


class DiffQuery(BaseModel):
    """Two moments; without the second one it is the present."""

    model_config = ConfigDict(extra="forbid")

    since: Moment = Field(alias="from", description="The earlier moment.")
    until: Moment | None = Field(None, alias="to", description="The later moment; now when absent.")


class LedgerQuery(BaseModel):
    """A moment of the whole ledger; without it, the present."""

    model_config = ConfigDict(extra="forbid")

    as_of: Moment | None = Field(None, description="As it was at this moment; now when absent.")


@dataclass(frozen=True, slots=True)
class Interval:
    """From after `since` up to `until`, both moments of the past."""

    since: datetime
    until: datetime


def past_moment(asked: datetime | None, *, now: datetime, field: str) -> datetime:
    """Return the moment that is asked for, now where none is.

    Raises:
        InvalidValueError: it is still to come.
    """
    if asked is not None and asked > now:
        raise InvalidValueError(
            field=field, bound=f"at most {timestamp(now)}, the ledger's time", value=timestamp(asked)
        )
    return now if asked is None else asked


def past_interval(asked: DiffQuery, *, now: datetime) -> Interval:
    """Return the interval between two moments of the past.

    Raises:
        InvalidValueError: a moment is still to come, or the later one is the earlier one.
    """
    until = past_moment(asked.until, now=now, field="to")
    since = past_moment(asked.since, now=now, field="from")
    if since > until:
        raise InvalidValueError(field="from", bound=f"at most {timestamp(until)} (to)", value=timestamp(since))
    return Interval(since, until)


def asked_for(model: type[Asked], given: Mapping[str, object]) -> Asked:
    """Return what a terminal asks for; what it leaves out is None.

    Raises:
        ConfigurationError: a value is not what the API would take.
    """
    try:
        return model.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ConfigurationError(sentence_of(error.errors())) from error
