"""Tables in documents come from recorded numbers, and say so where nothing was recorded."""

import json

from invert3d.jobs.record import refreshed

PAGE = "before\n<!-- results:points speed -->\nold\n<!-- /results -->\nafter\n"


def test_a_table_is_made_from_the_rows_of_its_name(tmp_path):
    rows = [{"table": "speed", "what": "loop", "ratio": 1.02, "command": "bench"}, {"table": "other", "what": "x"}]
    (tmp_path / "points.json").write_text(json.dumps({"headline": {"a": 0.5}, "rows": rows}))
    text = refreshed(PAGE, tmp_path)
    assert "| loop | 1.02 |" in text
    assert "old" not in text
    assert "Measured by `bench`." in text
    assert "other" not in text
    assert refreshed(text, tmp_path) == text
    assert "| a | 0.5 |" in refreshed(PAGE.replace("speed", "headline"), tmp_path)
    (tmp_path / "points.json").write_text(json.dumps({"headline": {"a": 0.5, "b": 2.0}, "rows": []}))
    some = refreshed(PAGE.replace("speed", "headline b missing"), tmp_path)
    assert "| b | 2 |" in some and "| a |" not in some and "missing |" not in some


def test_nothing_recorded_is_said(tmp_path):
    assert "Not recorded yet." in refreshed(PAGE, tmp_path)
    (tmp_path / "points.json").write_text(json.dumps({"headline": {}, "rows": []}))
    assert "Not recorded yet." in refreshed(PAGE, tmp_path)
