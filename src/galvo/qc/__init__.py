"""Quality control: what is behind `galvo.report`, one HTML page that shows how a correction went.

`subject` is what is reported on, `measures` its numbers and `verdict` what they say in words; `shown` samples the
recording before and after, `charts` and `figures` draw, `markup` is the only place where text becomes HTML; `looks`,
`over_time`, `learned` and `command` are parts of the page, `sections` puts them together, `page` makes one file
of them, `writing` is `galvo.report`.
"""
