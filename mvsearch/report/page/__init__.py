"""A study as one self-contained HTML page.

    Findings ── sections, charts ──▶ values and figures ── templates ──▶ page ──▶ bytes

Templates are rendered with autoescape, so that no name can become markup. The file makes no network requests, and its
content security policy forbids them.
"""
