"""`python -m sentient_core` is the command `sentient`."""

from __future__ import annotations

from sentient_core.cli import main

if __name__ == "__main__":
    main()
