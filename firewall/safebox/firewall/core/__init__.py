"""Pure core: values in, values out; no clock, socket, file, environment or randomness."""
