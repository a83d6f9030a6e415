"""One script per tool, each run by the interpreter of an environment of its own; none imports jaxneuro."""
