"""What a command that needs the database begins with. Imports wiring, from inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from returnclock.wiring import Wiring


def opened() -> Wiring:
    """This deployment's parts, on a database that has the schema which they need.

    Raises:
        SettingsError: the settings have faults.
        SchemaBehind: the database must be upgraded first.
        DatabaseUnreachable: it cannot be reached.
    """
    from returnclock.schema import require_upgraded
    from returnclock.wiring import wire

    wiring = wire(only_looks=True)
    require_upgraded(wiring.engine)
    return wiring
