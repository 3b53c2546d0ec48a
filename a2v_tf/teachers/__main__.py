"""List the teachers, or fetch their weights for a machine without internet.

python -m a2v_tf.teachers                       # names, sizes, licences and sources
python -m a2v_tf.teachers whisper_tiny aisfx    # of these, after fetching their weights
"""

from typing import NoReturn

from a2v_tf.errors import run_app


def main(argv: list[str]) -> None:
    """Open each teacher and print what it is."""
    from a2v_tf.teachers import TEACHERS, find_teacher

    for name in argv[1:] or TEACHERS:
        teacher = find_teacher(name)
        print(f"{teacher.name}: {teacher.dim} numbers, {teacher.licence}, {teacher.source}")


def run() -> NoReturn:
    """Entry point."""
    run_app(main, arguments=True)


if __name__ == "__main__":
    run()
