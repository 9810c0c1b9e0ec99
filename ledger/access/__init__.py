"""Who may do what: API keys with scopes, and the sessions of the dashboard that stand for them."""
