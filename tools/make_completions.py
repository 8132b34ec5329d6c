"""Write what shells complete commands and options with, `src/covalign/cli/completions`.

Making it imports every command, which takes seconds, and a shell would wait for it at every start. The tests compare
the files with what cyclopts makes today.

    python tools/make_completions.py
"""

from covalign.cli.commands import app
from covalign.cli.contents import COMPLETIONS, SHELLS

for shell in SHELLS:
    (COMPLETIONS / shell).write_text(app.generate_completion(shell=shell), encoding="utf-8")
