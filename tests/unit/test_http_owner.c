/* test_http_owner.c - whose an address is: each IPv4 address a host of its own, of IPv6 ones those of a network of 64 bits one. */
#include <arpa/inet.h>

#include "app/http/transport_inner.h"

#include "tfr_test.h"

static struct in6_addr address(const char *text) {
    struct in6_addr made;
    assert_int_equal(inet_pton(AF_INET6, text, &made), 1);
    return made;
}

static void expect_host(const char *text, const char *name, const char *host) {
    char told[INET6_ADDRSTRLEN + 4];
    const struct in6_addr peer = address(text);
    tfr_peer_name(&peer, told, sizeof told);
    assert_string_equal(told, name);
    tfr_peer_host(&peer, told, sizeof told);
    assert_string_equal(told, host);
}

static bool same(const char *a, const char *b) {
    const struct in6_addr one = address(a), other = address(b);
    assert_true(tfr_peer_is_same_host(&one, &other) == tfr_peer_is_same_host(&other, &one));
    return tfr_peer_is_same_host(&one, &other);
}

TFR_TEST(hosts_are_named) {
    TFR_UNUSED_STATE;
    expect_host("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7");
    expect_host("::1", "::1", "::1");
    expect_host("::", "unix", "unix");
    expect_host("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
    expect_host("1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444::/64");
}

TFR_TEST(addresses_of_one_network_are_one_host) {
    TFR_UNUSED_STATE;
    assert_true(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9") && same("::ffff:192.0.2.7", "::ffff:192.0.2.7"));
    assert_false(same("2001:db8:1:2::1", "2001:db8:1:3::1") || same("::ffff:192.0.2.7", "::ffff:192.0.2.8"));
    assert_false(same("::1", "::ffff:127.0.0.1") || same("::", "::1") || same("::1", "2001:db8::1"));
}

TFR_TEST(one_host_of_many_addresses_has_its_connections) {
    TFR_UNUSED_STATE;
    struct tfr_conn conns[] = {{.peer = address("2001:db8:1:2::1")},
                               {.peer = address("2001:db8:1:2::2")},
                               {.peer = address("2001:db8:1:2::3"), .turned_away = true}};
    conns[0].next = &conns[1];
    conns[1].next = &conns[2];
    struct tfr_http http = {.first = &conns[0], .limits = {.max_per_address = 2}};
    const struct in6_addr again = address("2001:db8:1:2::4"), other = address("2001:db8:1:3::4");
    assert_true(tfr_http_has_its_connections(&http, &again));
    assert_false(tfr_http_has_its_connections(&http, &other));
    http.limits.max_per_address = 3;
    assert_false(tfr_http_has_its_connections(&http, &again));
}

TFR_TEST_MAIN(TFR_CASE(hosts_are_named), TFR_CASE(addresses_of_one_network_are_one_host),
              TFR_CASE(one_host_of_many_addresses_has_its_connections))
