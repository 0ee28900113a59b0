"""The report of a correction: one HTML page that shows whether it went well.

`subject` is what is reported on, `measures` its numbers and `verdict` what they say in words; `charts` and `figures`
draw, `page` puts it together, `writing` is `galvo.write_report`.
"""
