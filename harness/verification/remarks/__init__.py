"""What the papers say beside their theorems, as checks: remarks, consequences, advice.

Where a document is wrong as it stands, or right on a condition, the check is of what is true and its docstring says so.
"""
