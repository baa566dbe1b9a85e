# Fills in a template of a page: {{field}} becomes the value of a field, escaped for HTML and XML. A line that starts with
# {{#field}} is kept only if the field has a value, and one with {{^field}} only if it has none. Indentation is removed.
# Usage: LC_ALL=C awk -f scripts/fill-template.awk VALUES TEMPLATE
# VALUES is the output of "scripts/build-info.sh values"; fields are its variables in lower case.

function escaped(text) {
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    gsub(/"/, "\\&quot;", text)
    gsub(/'/, "\\&#39;", text)
    return text
}

BEGIN { value["commit"] = "unknown" }

NR == FNR {
    at = index($0, "=")
    value[tolower(substr($0, 1, at - 1))] = escaped(substr($0, at + 1))
    # Widths in pixels for the badge: of the version, and with what is around it. textLength in the template makes any font fit.
    value["text_width"] = 7 * length(value["version"])
    value["width"] = value["text_width"] + 73
    next
}

{ sub(/^ +/, "") }

/^[{][{][#^]/ {
    end = index($0, "}}")
    is_kept = (substr($0, 4, end - 4) in value) == (substr($0, 3, 1) == "#")
    if (!is_kept) next
    $0 = substr($0, end + 2)
}

{
    line = ""
    while (match($0, /[{][{][a-z_]+}}/)) {
        line = line substr($0, 1, RSTART - 1) value[substr($0, RSTART + 2, RLENGTH - 4)]
        $0 = substr($0, RSTART + RLENGTH)
    }
    print line $0
}
