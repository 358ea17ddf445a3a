"""The configurations that these tests store."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, Field, SecretStr, model_validator


class Pool(BaseModel):
    size: int = Field(default=5, ge=1)
    hosts: list[str] = []


class App(BaseModel):
    title: str = "untitled"
    debug: bool = False
    ratio: float = Field(default=0.5, ge=0, le=1)
    limits: dict[str, int] = {}
    pool: Pool = Pool()
    password: SecretStr = SecretStr("")
    anything: Any = None


class Required(BaseModel):
    host: str
    port: int
    debug: bool = False


class Span(BaseModel):
    """Fits as a whole, or not."""

    low: int = 0
    high: int = 10

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"canary: {self.low} > {self.high}")
        return self
