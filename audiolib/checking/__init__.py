"""Files, sidecars and rows held against each other: what is wrong, and mending it.

`findings` are the values, `survey` looks at the folder once, `files` and `rows` check, `repairs` mends, and
`run` puts them together.
"""
