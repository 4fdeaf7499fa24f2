"""Programs that embed sentient_core; `make demo` runs `examples.site`. Not part of the wheel."""
