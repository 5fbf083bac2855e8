"""``negmine report``: one HTML page of what a work folder and training runs hold.

`read` draws examples, `measure` counts, `charts` draws, `images` makes thumbnails within a budget; `work` and
`training` say it to the template, `page` puts it together.
"""
