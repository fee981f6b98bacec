"""What goes wrong with a lab; the message is meant for the person at the terminal."""


class LabError(Exception):
    """The lab cannot do what was asked; the text says what failed, on what, and what to do."""


class CommandFailed(LabError):
    """A program the lab called ended with an error; `output` is what it said."""

    def __init__(self, argv: list[str], code: int, output: str) -> None:
        self.argv = argv
        self.code = code
        self.output = output
        last = "\n".join(output.strip().splitlines()[-15:])
        super().__init__(f"'{' '.join(argv)}' ended with {code}:\n{last}")
