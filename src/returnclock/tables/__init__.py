"""The tables: the market's, and returnclock's own. Everybody may come in; imports nothing of ours."""
