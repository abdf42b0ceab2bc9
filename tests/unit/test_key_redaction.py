"""The API key is taken out of whatever a service repeats."""

from hypothesis import example, given
from hypothesis import strategies as st

from parallel_frames._service._session import KeyRedactor


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=8, max_size=40),
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.binary(max_size=200),
)
@example("aaaaaaaa", b"", b"", b"aaa")
def test_data_without_the_marker_byte_has_no_key(key: str, before: bytes, after: bytes, sample: bytes) -> None:
    """Whatever sample it was chosen by, data with the key contains that byte, and redaction takes the key out."""
    redactor = KeyRedactor(key)
    data = before + key.encode() + after
    assert redactor.marker_byte(sample) in data
    assert redactor.marker_byte(data) == redactor.marker_byte(b"")
    assert redactor.REPLACEMENT in redactor.redact(data)
    assert redactor.redact(key.encode()) == redactor.REPLACEMENT


def test_no_key_and_a_short_one_redact_nothing() -> None:
    """A key shorter than any real one may be a word of an answer."""
    for key in (None, "", "acme"):
        redactor = KeyRedactor(key)
        assert redactor.redact(b'{"name":"acme"}') == b'{"name":"acme"}'
        assert redactor.marker_byte(b"acme") not in b'{"name":"acme"}'
