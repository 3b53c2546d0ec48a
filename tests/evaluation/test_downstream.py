"""Reading downstream tasks, and what is said of bad ones."""

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.downstream import load_tasks, read_clips, read_csv


def write(tmp_path, text, name="task.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_reads_rows(task_csv):
    (task,) = load_tasks(f"csv:{task_csv}")
    assert task.name == "tones"
    assert task.classes == ["high", "low"]
    assert [clip.split for clip in task.clips].count("test") == 4
    assert all(clip.path.is_file() for clip in task.clips)  # relative to the CSV


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label,split\n", "no column path"),
        ("path,label,split\na.wav,x,train\nb.wav,y,dev\n", "line 3: split 'dev'"),
        ("path,label,split\na.wav,,train\n", "line 2: no label"),
        ("path,label,split\na.wav,x,train\nb.wav,y,train\n", "no test clips"),
        ("path,label,split\na.wav,x,train\nb.wav,x,test\n", "one class"),
        (
            "path,label,split\na.wav,x,train\nb.wav,y,train\na.wav,x,test\n",
            "is in both train and test",
        ),
    ],
)
def test_bad_csv(text, message, tmp_path):
    with pytest.raises(A2vError, match=message) as error:
        read_csv(write(tmp_path, text))
    assert "task.csv" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("speech", "expected 'demo' or 'csv:PATH'"),
        ("csv:/no/such.csv", "cannot read /no/such.csv"),
    ],
)
def test_bad_spec(spec, message):
    with pytest.raises(A2vError, match=message):
        load_tasks(spec)


def test_two_tasks_of_one_name(task_csv):
    with pytest.raises(A2vError, match="two downstream tasks are named 'tones'"):
        load_tasks(f"csv:{task_csv},csv:{task_csv}")


def test_unreadable_clips_are_counted(task_csv, tmp_path, caplog):
    rows = [f"{clip.path},{clip.label},{clip.split}" for clip in read_csv(task_csv).clips]
    text = "\n".join(["path,label,split", *rows, "missing.wav,low,test"]) + "\n"
    task = read_csv(write(tmp_path, text))
    assert len(list(read_clips(task, 0.1))) == len(rows)
    assert "missing.wav: no such file" in caplog.text
    with pytest.raises(A2vError, match="1 of 15 clips cannot be read"):
        list(read_clips(task, 0.05))
