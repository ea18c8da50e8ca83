"""One seed in params.yaml, an independent one for each purpose."""

from hashlib import blake2b


def seed_for(base: int, *purpose: str | int) -> int:
    """Derive the seed of a purpose, so that no two uses of chance share a stream.

    Returns an integer below 2**32, which every library here takes as a seed.
    """
    name = "/".join(str(part) for part in (base, *purpose))
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big")
