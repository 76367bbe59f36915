"""Everything that speaks GPIO, PWM and trigger modes, and the ledger that pairs pulses with frames."""
