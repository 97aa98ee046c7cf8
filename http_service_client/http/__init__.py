"""HTTP's rules as pure functions of text and bytes, and the messages that they apply to.

Both transports send exactly the bytes that these modules produce and read responses only through them, so
each rule exists once. Nothing here opens a socket, reads a clock, draws random numbers (except for the
multipart boundary) or imports from a higher floor. Optional libraries are used where a rule needs one: idna
for international names, brotli and zstandard for their codings.

The settings and the jar that not every client has are names of this package.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .auth.flow import AuthFlow as AuthFlow
    from .cookies.jar import CookieJar as CookieJar
    from .egress import EgressPolicy as EgressPolicy
    from .fields.propagation import Propagation as Propagation

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            ".auth.flow": "AuthFlow",
            ".cookies.jar": "CookieJar",
            ".egress": "EgressPolicy",
            ".fields.propagation": "Propagation",
        },
    )
