"""What the runtime costs, measured beside a plain baseline; `make bench`. Not part of the wheel."""
