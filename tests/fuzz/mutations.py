"""Files a little broken: what a bad disk, a stopped download, another tool or a stranger makes of a good one."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

_TOKENS = (
    b"",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\r",
    b"\n",
    b"\t",
    b'"',
    b"'",
    b"\\",
    b",",
    b":",
    b"[",
    b"]",
    b"{",
    b"}",
    b"null",
    b"true",
    b"NaN",
    b"-1",
    b"1e999",
    b"9" * 400,
    b'"\\ud800"',
    b"[" * 400,
    b'{"a":' * 200,
    b"../",
    b"/",
    b"\x00" * 512,
    b"!!python/object/apply:os.system",
    b"*a",
    b"&a",
    b"<<: ",
)
"""What is written over or between the bytes of a good file."""

_MOST = 6
"""Changes to one file."""


@st.composite
def mutations(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of some files with a few changes: bytes flipped, cut out, doubled, zeroed, put in, or the end lost."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, _MOST))):
        at = draw(st.integers(0, len(content)))
        until = min(len(content), at + draw(st.sampled_from((1, 2, 7, 64, 512, 4096))))
        match draw(st.sampled_from(("flip", "cut", "double", "zero", "put", "end"))):
            case "flip" if at < len(content):
                content[at] ^= draw(st.integers(1, 255))
            case "cut":
                del content[at:until]
            case "double":
                content[at:at] = content[at:until]
            case "zero":
                content[at:until] = bytes(until - at)
            case "put":
                content[at:at] = draw(st.sampled_from(_TOKENS))
            case "end":
                del content[at:]
    return bytes(content)
