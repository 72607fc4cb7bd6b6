"""What all models share: names as PostgreSQL gives them, and the column types of the schema.

A collection without bound, such as the posts of a site, is write-only (`session.scalars(site.synced_posts.select())`),
so that it is never loaded by accident; those of one post are lists. Deleting a row through a model never changes rows
that refer to it: the database refuses, or cascades where the migration says so.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, MetaData, Numeric, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

from cg_pipeline.warehouse.models.enums import DATABASE_TYPES

NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(constraint_name)s",
}

RowId = Annotated[UUID, mapped_column(server_default=func.gen_random_uuid())]
CreatedAt = Annotated[datetime, mapped_column(server_default=func.now())]
UpdatedAt = Annotated[datetime, mapped_column(server_default=func.now(), onupdate=func.now())]

Count = Annotated[int, mapped_column(BigInteger)]  # platforms count beyond 2 thousand million
Money = Annotated[Decimal, mapped_column(Numeric(20, 6))]  # as a platform reports it
Share = Annotated[Decimal, mapped_column(Numeric(30, 12))]  # money times rate without rounding
Percentage = Annotated[Decimal, mapped_column(Numeric(7, 4))]  # 0 to 100
JsonObject = dict[str, Any]
JsonArray = list[Any]
Json = dict[str, Any] | list[Any]

_JSONB = JSONB(none_as_null=True)  # None is SQL's NULL, not JSON's null


class Base(DeclarativeBase):
    """Root of all models. `Base.metadata` equals the migrated schema, partitions and functions aside."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        **DATABASE_TYPES,
        str: Text,
        datetime: DateTime(timezone=True),
        JsonObject: _JSONB,
        JsonArray: _JSONB,
        Json: _JSONB,
    }
