from rnnbook.pages import say, table


def test_a_table_shows_its_entries_as_text():
    """Hypothesis: entries are escaped, one row per line of data, the header apart."""
    shown = table(["a < b", "n"], [["x & y", 1.5], ["", 2]]).data
    assert "<th>a &lt; b</th><th>n</th>" in shown
    assert "<td>x &amp; y</td><td>1.5</td>" in shown and shown.count("<tr>") == 3
    assert "overflow-x: auto" in shown


def test_sentences_make_one_paragraph():
    assert say("One.", "Two.").data == "One. Two."
