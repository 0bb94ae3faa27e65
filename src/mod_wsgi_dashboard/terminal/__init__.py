"""`mod_wsgi-dashboard top`: the first screen in a terminal, and a report for scripts.

`command` is the entry. `screen` and `palette` need Textual, everything else doesn't: `moment` is what a
sample says, `report` the text and JSON of one, `archive` and `travel` go through time, `chart`, `grid`,
`table` and `layout` make lines of text, `text` is what lines are made of.
"""
