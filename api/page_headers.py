"""What the headers of a page of our own allow a browser: our scripts, styles and answers, nobody else's."""

OWN_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
ALONE = {"X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin"}
# Of a page that is made for whoever asks.
OWN_HEADERS = {"Content-Security-Policy": OWN_POLICY, "Cache-Control": "no-store", **ALONE}
