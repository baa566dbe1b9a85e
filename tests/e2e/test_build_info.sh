#!/bin/sh
# What scripts/build-info.sh takes and refuses of what it is given. Run it from the root of the project; CC
# names the compiler.
set -eu
. tests/support/check.sh
. tests/support/build_info.sh

without_git_the_defaults_say_so() {
    tree
    expect_equal "$(show VERSION)" 0.0.0-dev
    expect_equal "$(show COMMIT)" unknown
    expect_equal "$(show BUILD_DATE)" 1970-01-01T00:00:00Z
    ! info | grep -q URL || fail 'a URL was made up'
}

valid_values_are_taken() {
    tree
    for version in 1.2.3 0.0.0 1.2.3-rc.1 1.2.3+b.01 1.2.3-0a.-.1+001 10.20.30-alpha-a.b-c; do
        expect_equal "$(show VERSION VERSION=$version)" "$version"
    done
    expect_equal "$(show BUILD_DATE SOURCE_DATE_EPOCH=1700000000)" 2023-11-14T22:13:20Z
}

values_reach_the_program_to_the_byte() {
    tree
    # shellcheck disable=SC2016 # as it stands
    for text in 'quote " and '\'' and \ and \n' 'Grüße, 世界 🚀' '$(touch x) `touch x` $HOME ${HOME}' \
        '-DX=1 @file %s %% ??/ /* */ // #' ' a  b ' '; touch x'; do
        expect_equal "$(compile VERSION=1.2.3 COMMIT=$hash SOURCE_DATE_EPOCH=1700000000 \
            SOURCE_URL='https://a.b/c?d=e&f=%20' BUILD_URL=http://a DESCRIPTION="$text")" "1.2.3
$hash
2023-11-14T22:13:20Z
https://a.b/c?d=e&f=%20
http://a
$text"
    done
    [ ! -e x ] || fail 'a command was run'
}

malformed_values_are_refused_by_name() {
    tree
    semver="is not a SemVer 2.0.0 version without a leading 'v', such as 1.2.3 or 1.2.3-rc.1"
    for version in banana v1.2.3 1.2 1.2.3.4 01.2.3 1.02.3 1.2.03 1.2.3- 1.2.3-01 1.2.3-a..b 1.2.3+ \
        1.2.3+a+b ' 1.2.3' '1.2.3 ' -1.2.3 '1.2.3";x' 1.2.3-ä; do
        expect_refused "VERSION: '$(printf %s "$version" | LC_ALL=C tr -c '[:print:]' '?')' $semver" \
            "VERSION=$version"
    done
    for commit in xyz ${hash}0 "${hash%?}" 0123456789ABCDEF0123456789ABCDEF01234567 unknown; do
        expect_refused "COMMIT: '$commit' is not 40 lower-case hex digits" "COMMIT=$commit"
    done
    for epoch in -1 01 1.5 1e3 100000000000 today; do
        expect_refused "SOURCE_DATE_EPOCH: '$epoch' is not a number of seconds since 1970-01-01, without \
leading zeros, of at most 11 digits" "SOURCE_DATE_EPOCH=$epoch"
    done
    for url in ftp://a a.b https:// 'https://a b' 'https://a"b' 'javascript:alert(1)' 'https://a<b'; do
        expect_refused "SOURCE_URL: '$url' is not an http or https URL of at most 512 bytes" \
            "SOURCE_URL=$url"
        expect_refused "BUILD_URL: '$url' is not an http or https URL of at most 512 bytes" \
            "BUILD_URL=$url"
    done
    expect_refused "RELEASE: 'yes' is not 0 or 1" RELEASE=yes
    expect_refused "NAME: 'A' is not a lower-case letter, then at most 62 lower-case letters, digits \
and '-'" NAME=A
}

several_lines_and_control_characters_are_refused_by_name() {
    tree
    lines=$(printf 'a\nb')
    format='is not 1 to 512 bytes of UTF-8 without control characters'
    expect_refused "DESCRIPTION: 'a?b' $format" "DESCRIPTION=$lines"
    expect_refused "DESCRIPTION: 'a?' $format" "DESCRIPTION=a
"
    expect_refused "DESCRIPTION: '?' $format" "DESCRIPTION=$(printf '\033')"
    expect_refused "DESCRIPTION: '?' $format" "DESCRIPTION=$(printf '\177')"
    expect_refused "DESCRIPTION: '??' $format" "DESCRIPTION=$(printf '\302\205')"
    expect_refused "DESCRIPTION: '?' $format" "DESCRIPTION=$(printf '\377')"
    expect_refused "DESCRIPTION: '??' $format" "DESCRIPTION=$(printf '\300\257')"
    expect_refused "DESCRIPTION: '' $format" DESCRIPTION=
    expect_refused "VERSION: '1.2.3?' is not a SemVer 2.0.0 version without a leading 'v', such as \
1.2.3 or 1.2.3-rc.1" "VERSION=1.2.3
"
}

length_is_bounded_on_both_sides() {
    tree
    long=$(printf '%0512d' 0)
    show DESCRIPTION "DESCRIPTION=$long" >/dev/null
    ! info "DESCRIPTION=${long}0" >/dev/null || fail 'a description of 513 bytes was taken'
    show VERSION "VERSION=1.2.3-a${long#0000000}" >/dev/null
    ! info "VERSION=1.2.3-a${long#000000}" >/dev/null || fail 'a version of 513 bytes was taken'
}

release_needs_its_values() {
    tree
    expect_refused 'RELEASE=1 needs what is missing: VERSION COMMIT' RELEASE=1
    expect_refused 'RELEASE=1 needs what is missing: COMMIT' RELEASE=1 VERSION=1.2.3
    expect_refused 'RELEASE=1 needs what is missing: SOURCE_DATE_EPOCH' RELEASE=1 VERSION=1.2.3 COMMIT=$hash
    expect_equal "$(show VERSION RELEASE=1 VERSION=1.2.3 COMMIT=$hash SOURCE_DATE_EPOCH=0)" 1.2.3
    expect_equal "$(show VERSION RELEASE=0)" 0.0.0-dev
}

run_tests without_git_the_defaults_say_so valid_values_are_taken values_reach_the_program_to_the_byte \
    malformed_values_are_refused_by_name several_lines_and_control_characters_are_refused_by_name \
    length_is_bounded_on_both_sides release_needs_its_values
