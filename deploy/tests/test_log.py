import json

from deploy.log import LOG_FILE, make_logger


def test_the_log_goes_to_the_file_that_is_named(tmp_path, monkeypatch, capfd):
    path = tmp_path / "new" / "host.log"
    monkeypatch.setenv(LOG_FILE, str(path))
    for function in ("first", "second"):
        make_logger(function=function).info_with("ready", seconds=1.5)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["with"]["function"] for line in lines] == ["first", "second"]
    assert {line["message"] for line in lines} == {"ready"}
    assert capfd.readouterr().err == ""
