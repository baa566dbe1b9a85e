#!/bin/sh
# That the program and its OpenAPI document (src/openapi.json) say the same: paths, methods, statuses, fields, media
# types and contents, both ways. Fetches its tools (scripts/tools.sh), so `make test` leaves it out. Run it from the
# root of the project.
# Environment: PROGRAM, which is started on free ports; CI set makes tools that cannot be had a failure.
set -eu
. tests/support/check.sh

case $PROGRAM in
/*) ;;
*) PROGRAM=$PWD/$PROGRAM ;;
esac
document=$PWD/src/openapi.json
contract=$PWD/tests/contract/contract.py

# check NAME [BASE_PATH]: a function of contract.py.
check() {
    [ -n "$python" ] || skip "$why"
    cd "$scratch"
    "$python" -B "$contract" "$1" "$PROGRAM" "$document" "${2-}" || fail "$1"
}

document_is_valid() {
    [ -n "$python" ] || skip "$why"
    "$python" -m openapi_spec_validator --validation-errors all --subschema-errors all "$document"
}

# So that the Makefile can strip it: an entry a line, nothing at the ends of lines.
document_is_laid_out() {
    [ -n "$python" ] || skip "$why"
    "$python" -m json.tool --indent 2 --no-ensure-ascii "$document" "$scratch/tidy"
    diff -u "$document" "$scratch/tidy" || fail 'not laid out as python3 -m json.tool --indent 2 does'
}

document_has_all_routes_and_no_others() { check routes /some/prefix; }
answers_are_as_documented() { check answers; }
answers_below_base_path_are_as_documented() { check answers /some/prefix; }
answers_while_draining_are_as_documented() { check draining /some/prefix; }
document_is_served() { check served /some/prefix; }
generated_requests_find_nothing() { check generated; }
generated_requests_below_base_path_find_nothing() { check generated /some/prefix; }

python='' status=0
found=$(scripts/tools.sh contract-python) || status=$?
case $status in
0) python=$found ;;
77) why=${found#skipped: } ;;
*) exit 1 ;;
esac
run_tests document_is_valid document_is_laid_out document_has_all_routes_and_no_others answers_are_as_documented \
    answers_below_base_path_are_as_documented answers_while_draining_are_as_documented document_is_served \
    generated_requests_find_nothing generated_requests_below_base_path_find_nothing
