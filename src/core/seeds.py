"""One seed in params.yaml, and an independent seed derived from it for each purpose."""

from hashlib import blake2b


def seed_for(base: int, *purpose: str | int) -> int:
    """Derive the seed for a purpose, so that no two uses of randomness share a stream.

    Returns an integer below 2**32, the range that all our libraries accept.
    """
    name = "/".join(str(part) for part in (base, *purpose))
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big")
