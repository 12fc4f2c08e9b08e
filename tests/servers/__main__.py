"""Says which server programs the tests miss; ``--install`` installs them as root on Debian and Ubuntu."""

import sys

from tests.servers.programs import install, missing_packages, missing_text


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--install"]):
        print("Usage: python -m tests.servers [--install]", file=sys.stderr)
        return 2
    if arguments == ["--install"]:
        install()
    packages = missing_packages()
    if packages:
        print(missing_text(packages), file=sys.stderr)
    return 1 if packages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
