"""A study as one HTML page that a person can send to a colleague.

    reader ── gather ──▶ Findings ── sections, charts ──▶ markup, figures ── page ──▶ bytes

`Findings` are the numbers; nothing after them looks into the database. Whatever is not `Html` is escaped when it is
put into some, so no name can become markup. The file asks nothing of the network, and says so to the browser.
"""
