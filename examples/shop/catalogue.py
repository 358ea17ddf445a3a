"""What the shop sells, and the accounts that may log in."""

from dataclasses import dataclass
from secrets import compare_digest
from typing import Literal

Role = Literal["customer", "staff"]


@dataclass(frozen=True)
class Product:
    """A fruit. Prices are in cents."""

    name: str
    price: int
    note: str
    unit: str = "each"


FRUIT = {
    "apple": Product("Apples", 60, "Crisp, from the north slope"),
    "pear": Product("Pears", 85, "Ripe on Thursday"),
    "plum": Product("Plums", 45, "Small, dark and sour"),
    "cherry": Product("Cherries", 420, "The last of the season", "250 g"),
    "lemon": Product("Lemons", 55, "Unwaxed, with leaves"),
    "fig": Product("Figs", 95, "Eat them today"),
    "orange": Product("Oranges", 70, "For juice, or for lunch"),
    "blueberry": Product("Blueberries", 380, "From the wood", "200 g"),
}


@dataclass(frozen=True)
class Account:
    """Who may log in. A real shop stores a hash of the password, such as Argon2's, and never the password."""

    password: str
    role: Role = "customer"


ACCOUNTS = {"billy": Account("apple"), "ada": Account("lemon", "staff")}


def check_password(username: str, password: str) -> Account | None:
    """Return the account if the password is right. It takes as long for an unknown name."""
    account = ACCOUNTS.get(username)
    right = compare_digest(password.encode(), (account.password if account else "?").encode())
    return account if right else None
