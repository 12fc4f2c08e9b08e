"""``python -m returnclock`` is the command."""

from returnclock.cli import main

main()
