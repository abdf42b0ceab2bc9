"""How bash, zsh and fish ask for completions, where click's own scripts complete a wrong word.

Each shell cuts a line into words its own way: bash at ``=`` and ``:`` too, and it quotes nothing; zsh and fish take
``--processor=co`` for one word; click's script for fish ends a value at its first comma.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from click.shell_completion import BashComplete, FishComplete, ZshComplete, add_completion_class, split_arg_string

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

BEGIN: Final = "%(complete_func)s() {\n"


@add_completion_class
class Bash(BashComplete):
    """Bash: the script passes the line as it is typed, and what of its last word bash will replace."""

    source_template = r"""%(complete_func)s() {
    local item value
    COMPREPLY=()
    while read -r item; do
        value=${item#*,}
        case ${item%%%%,*} in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                if [[ ${COMP_WORDS[COMP_CWORD]} != [\'\"]* && $value == *[^[:alnum:]_.,:=@+/-]* ]]; then
                    printf -v value %%q "$value"
                fi
                COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor, and the one it is in."""
        *words, last = split_arg_string(f"{os.environ['COMP_WORDS']}x")  # with the x there is always one it is in
        return words[1:], last[:-1]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return an item without the part of its word that bash leaves as it is."""
        _, word = self.get_completion_args()
        replaced = "".join(split_arg_string(os.environ.get("COMP_WORD", word)))
        return f"{item.type},{item.value.removeprefix(word.removesuffix(replaced))}"


@add_completion_class
class Zsh(ZshComplete):
    """Zsh: of ``--processor=co`` only what follows the sign is completed."""

    source_template = ZshComplete.source_template.replace(
        BEGIN, f"{BEGIN}    [[ $PREFIX == --*=* ]] && compset -P 1 '*='\n"
    ).replace(" -U", "")  # which would replace the whole word all the same


@add_completion_class
class Fish(FishComplete):
    """Fish: the same, which takes the whole word, and values that hold commas."""

    source_template = """function %(complete_func)s
    set -l word (commandline -ct)
    set -l option (string match -r -- '^--[^=]+=' $word)
    for completion in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \
COMP_CWORD="$word" %(prog_name)s)
        set -l item (string split -m 1 , -- $completion)
        switch $item[1]
            case dir
                __fish_complete_directories $item[2]
            case file
                __fish_complete_path $item[2]
            case plain
                echo -- $item[2]
        end
    end | string replace -r -- '^' "$option"
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""
