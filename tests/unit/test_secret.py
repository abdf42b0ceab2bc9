"""The API key, wherever a service repeats it."""

from hypothesis import example, given
from hypothesis import strategies as st

from parallel_frames._service._secret import HIDDEN, Secret


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=8, max_size=40),
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.binary(max_size=200),
)
@example("aaaaaaaa", b"", b"", b"aaa")
def test_what_lacks_the_telltale_lacks_the_key(key: str, before: bytes, after: bytes, sample: bytes) -> None:
    """Whatever it was chosen by: a text with the key has that byte, and hiding takes the key out."""
    secret = Secret(key)
    text = before + key.encode() + after
    assert secret.telltale(sample) in text
    assert secret.telltale(text) == secret.telltale(b"")
    assert HIDDEN in secret.hide(text)


def test_no_key_and_a_word_hide_nothing() -> None:
    """A key shorter than any real one may be a word of an answer."""
    for key in (None, "", "acme"):
        secret = Secret(key)
        assert secret.hide(b'{"name":"acme"}') == b'{"name":"acme"}'
        assert secret.telltale(b"acme") not in b'{"name":"acme"}'
