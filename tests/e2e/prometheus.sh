#!/bin/sh
# What operators are given (deploy/), tried with a real Prometheus, which scrapes two versions of the program. Debian's
# package `prometheus` has what it takes; the server is started here, on a port of its own. Run it from the root of the
# project.
set -eu
. tests/support/check.sh
. tests/support/servers.sh

unset CC NAME VERSION COMMIT DESCRIPTION SOURCE_URL BUILD_URL SOURCE_DATE_EPOCH RELEASE MAKEFLAGS MFLAGS MAKELEVEL
name=$(sed -n 's/^NAME *= *//p' Makefile)
metric=$(echo "$name" | tr - _)_build # the metric, but for its suffix
job=$(sed -n 's/.*job_name: //p' deploy/prometheus/scrape.yaml)
dashboard=deploy/grafana/versiond.json
tries=600 # of what is waited for, ten a second

# build VERSION DIGIT EPOCH: leaves a program that says so, and a commit of that digit, in $all.
build() {
    make -s BUILD_DIR=build/prometheus VERSION="$1" COMMIT="$(printf %040d 0 | tr 0 "$2")" SOURCE_DATE_EPOCH="$3"
    cp "build/prometheus/plain/$name" "$all/$1"
}

# start VERSION FOLDER: leaves its address in $address.
start() {
    "$all/$1" --address 127.0.0.1 --port 0 --access-log all --log-format json 2>"$2/$1.log" &
    servers="$servers $!"
    address=127.0.0.1:$(await "$2/$1.log" '"port":[0-9]*' | cut -d : -f 2)
}

# ask_everything: what makes series, of each of the methods and statuses that are easily had.
ask_everything() {
    long=$(printf %09000d 0)
    for path in version __version__ healthz readyz metrics '' badge.svg openapi.json nowhere; do
        for method in GET OPTIONS POST WONDER; do
            curl -s -X $method "http://$address/$path"
        done
        curl -sI "http://$address/$path"
    done
    curl -s "http://$address/metrics"
    curl -s -d content "http://$address/version"
    curl -s -H 'Host: a,b' "http://$address/version"
    curl -s -H 'Host : a' "http://$address/version"
    # It closes while they may still be sending.
    curl -s -H "Long: $long" "http://$address/version" || echo "closed: $?"
    curl -s "http://$address/$long" || echo "closed: $?"
}

# start_all FOLDER: two versions and a Prometheus with the configuration of the example: only targets and times are
# others. Leaves their addresses in $first, $second and $prometheus.
start_all() {
    start 1.2.3 "$1"
    first=$address
    ask_everything >"$1/answers"
    start 1.3.0-rc.1 "$1"
    second=$address
    sed -e 's/15s$/1s/' -e "s/\"127.0.0.1:5000\"/'$first', '$second'/" deploy/prometheus/scrape.yaml >"$1/scrape.yaml"
    cp deploy/prometheus/alerts.yaml "$1"
    prometheus --config.file="$1/scrape.yaml" --storage.tsdb.path="$1/data" --web.listen-address=127.0.0.1:0 \
        >"$1/prometheus.log" 2>&1 &
    servers="$servers $!"
    await "$1/prometheus.log" 'ready to receive web requests'
    prometheus=$(await "$1/prometheus.log" 'msg="Listening on".* address=[0-9.:]*')
    prometheus=${prometheus##*=}
}

# api PATH FILTER [ARGUMENT OF curl]...: prints what jq's FILTER makes of Prometheus' answer. Where that is an error, it says
# which.
api() {
    path=$1 filter=$2
    shift 2
    curl -s --get "http://$prometheus/api/v1/$path" "$@" >"$scratch/api"
    grep -q '^{"status":"success"' "$scratch/api" || fail "$path $*: $(cat "$scratch/api")" >&2
    jq -c "$filter" "$scratch/api"
}

# wait_for WHAT COMMAND...: until it prints something. Prints that.
wait_for() {
    what=$1 left=$tries
    shift
    until "$@" >"$scratch/seen" && grep . "$scratch/seen"; do
        left=$((left - 1))
        [ "$left" != 0 ] || fail "$what: never seen; last: $(cat "$scratch/api")" >&2
        sleep 0.1
    done
}

# query EXPRESSION [FILTER]: prints what jq's FILTER makes of each sample.
query() { api query ".data.result[] | ${2:-select(.value[1] != \"NaN\")}" --data-urlencode "query=$1"; }

# metadata FAMILY: prints its type at each target, when both have told.
metadata() {
    api targets/metadata 'select(.data | length == 2) | [.data[].type]' --data-urlencode metric="$1"
}

needs_prometheus() { needs prometheus promtool curl jq; }

files_are_valid() {
    needs_prometheus
    promtool check config deploy/prometheus/scrape.yaml
    promtool check rules deploy/prometheus/alerts.yaml
}

alerts_fire_when_they_are_due_and_not_before() {
    needs_prometheus
    promtool test rules deploy/prometheus/alerts_test.yaml
    # Each has a test that it fires.
    sed -n 's/.*- alert: //p' deploy/prometheus/alerts.yaml | sort >"$scratch/alerts"
    awk '/alertname: / { name = $3 } /- exp_labels: / { print name }' deploy/prometheus/alerts_test.yaml | sort >"$scratch/tested"
    expect_equal "$(cat "$scratch/tested")" "$(cat "$scratch/alerts")"
}

# What an import would stumble over, or a reader.
dashboard_is_whole() {
    needs jq
    jq . "$dashboard" >"$scratch/tidy"
    cmp "$dashboard" "$scratch/tidy" || fail "not formatted as jq does"
    jq -r '
        def source: .datasource == {type: "prometheus", uid: "${datasource}"};
        def box: .gridPos;
        def meets($other): .x < $other.x + $other.w and $other.x < .x + .w and .y < $other.y + $other.h and $other.y < .y + .h;
        (select(has("__inputs") or .id != null or .schemaVersion < 39 or (.uid // "") == "") | "not to be imported"),
        (select([.panels[].id] | length != (unique | length)) | "two panels have one id"),
        (.templating.list[] | select(.type == "query" and (source | not)) | "variable \(.name): data source"),
        (.panels[] | (
            select((.title // "") == "" or (.description // "") == "") | "says not what it is"),
            (select((.fieldConfig.defaults.unit // "") == "") | "has no unit"),
            (select(([., .targets[]] | all(source)) | not) | "has a data source of its own"),
            (select((.targets | length) == 0) | "asks nothing"),
            (select(box.x < 0 or box.x + box.w > 24) | "is too wide") | "panel: \(.)"),
        (.panels as $all | range($all | length) as $i | range($i) as $j
            | select($all[$i].gridPos | meets($all[$j].gridPos)) | "\($all[$i].title) is over \($all[$j].title)")
        ' "$dashboard" >"$scratch/wrong"
    expect_equal "$(cat "$scratch/wrong")" ''
    ! grep -nE '://|[a-z0-9-]\.(com|net|org|io|local|lan)\b|:[0-9]{4}' "$dashboard" || fail 'names a host'
}

metrics_have_no_finding() {
    needs_prometheus
    curl -sf "http://$first/metrics" >"$scratch/metrics"
    for series in 'path="/version",method="HEAD",code="200"' 'path="other",method="GET",code="404"' \
        'path="/",method="OPTIONS",code="204"' 'code="400"' 'code="405"' 'code="413"' 'code="431"' 'code="501"'; do
        grep -q "^http_requests_total{.*$series} [1-9]" "$scratch/metrics" || fail "no $series: $(cat "$scratch/metrics")"
    done
    grep -q '^http_requests_malformed_total [1-9]' "$scratch/metrics" || fail "none malformed: $(cat "$scratch/metrics")"
    promtool check metrics <"$scratch/metrics"
}

builds_are_told() {
    needs_prometheus
    wait_for 'two instances' query "count(${metric}_info) == 2"
    query "${metric}_info" '.metric | "\(.job) \(.instance) \(.version) \(.revision) \(.build_date)"' >"$scratch/builds"
    expect_equal "$(jq -r . "$scratch/builds" | sort -k 3)" \
        "$job $first 1.2.3 1111111111111111111111111111111111111111 2023-11-14T22:13:20Z
$job $second 1.3.0-rc.1 2222222222222222222222222222222222222222 2023-11-15T22:13:20Z"
}

# expect_data FILE: each line is a query that has an answer, and asks for labels that there are.
expect_data() {
    [ -s "$1" ] || fail 'no query'
    api labels '.data' | jq -r '.[]' >"$scratch/labels"
    while read -r expression; do
        ! echo "$expression" | grep -F '$' || fail 'a variable that is not known'
        wait_for "$expression" query "$expression" >"$scratch/data"
        echo "$expression" | grep -oE '[a-z_]+(=~|!~|!=|=)"' | sed 's/[!=~]*"$//' >"$scratch/used" || test $? = 1
        echo "$expression" | sed -n 's/.*by (\([^)]*\)).*/\1/p' | tr -d ' ' | tr , '\n' >>"$scratch/used"
        ! grep -vxFf "$scratch/labels" "$scratch/used" || fail "no such label: $expression"
    done <"$1"
}

# Where there is no such metric, label or function, a panel would just stay empty.
dashboard_has_data() {
    needs_prometheus
    jq -r '.panels[].targets[].expr, (.templating.list[] | select(.type == "query").query.query
        | capture("^label_values\\((?<metric>.*), (?<label>[a-z_]+)\\)$") | "count by (\(.label)) (\(.metric))")' \
        "$dashboard" >"$scratch/asked"
    # shellcheck disable=SC2016 # Grafana's variables
    sed -e "s/\\\$job/$job/g" -e "s/\\\$instance/($first|$second)/g" -e 's/\$__rate_interval/1m/g' "$scratch/asked" >"$scratch/queries"
    expect_data "$scratch/queries"
    # So do the names of lines, and the columns of the table.
    jq -r '[.panels[].targets[].legendFormat // ""] | join(" ") | scan("{{([^}]*)}}")[]' "$dashboard" >"$scratch/named"
    jq -r '.panels[].transformations[]?.options.indexByName | keys[]' "$dashboard" >>"$scratch/named"
    ! grep -vxFf "$scratch/labels" "$scratch/named" || fail 'no such label'
}

# alert_queries: prints a line each, as Prometheus has parsed it.
alert_queries() { api rules '.data.groups[].rules[].query' | jq -r 'gsub("\\s+"; " ")'; }

# With "bool" a comparison gives 0 or 1 where there is anything to be compared.
as_question() { sed -E 's/ (==|!=|>=|<=|>|<) / \1 bool /g'; }

alerts_have_data() {
    needs_prometheus
    wait_for 'rules' alert_queries | as_question >"$scratch/queries"
    expect_equal "$(grep -c ' bool ' "$scratch/queries")" "$(grep -c -- '- alert: ' deploy/prometheus/alerts.yaml)"
    expect_data "$scratch/queries"
}

# state ALERT VALUE STATE: prints something when the alert is in that state and its expression has that value.
state() {
    api rules ".data.groups[].rules[] | select(.name | endswith(\"$1\"))" >"$scratch/rule"
    [ "$(jq -r .state "$scratch/rule")" = "$3" ] || return 0
    query "$(jq -r .query "$scratch/rule" | as_question)" "select(.value[1] == \"$2\")"
}

second_version_is_noticed_until_it_is_gone() {
    needs_prometheus
    servers=
    trap stop_servers EXIT
    trap 'exit 130' INT TERM
    start_all "$scratch"
    wait_for 'two versions' state TwoVersions 1 pending
    wait_for 'both are up' state Down 0 inactive
    # Of the programs and Prometheus, the second.
    gone=$(echo "$servers" | cut -d ' ' -f 3)
    kill "$gone"
    wait "$gone"
    servers=$(echo "$servers" | sed "s/ $gone / /")
    wait_for 'one version' state TwoVersions 0 inactive
    wait_for 'one is down' state Down 1 pending
    expect_equal "$(query "${metric}_info" '.metric.version')" '"1.2.3"'
}

all=$(mktemp -d)
trap 'stop_servers; rm -rf "$all"' EXIT
trap 'exit 130' INT TERM
if command -v prometheus >/dev/null && command -v jq >/dev/null; then
    build 1.2.3 1 1700000000
    build 1.3.0-rc.1 2 1700086400
    start_all "$all"
fi
run_tests files_are_valid alerts_fire_when_they_are_due_and_not_before dashboard_is_whole metrics_have_no_finding \
    builds_are_told dashboard_has_data alerts_have_data second_version_is_noticed_until_it_is_gone
