"""What a user can mend, told apart from what is a defect."""


class UserError(ValueError):
    """A user's mistake, in one line: the file or key, the value, what was expected, and the way out.

    Every script ends on it with that line and exit status 2 (`configs.command_line.run_script`). Any other
    ValueError is a defect of ours and keeps its traceback.
    """


def first_line(error: object, most: int = 200) -> str:
    """What an error says first, at most so many characters: libraries' own texts run over several lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]
