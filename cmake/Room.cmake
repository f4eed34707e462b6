# hyper2kvm_room(NAME SOURCES... [LINK libraries...]): one room of the house, as the static library hyper2kvm_NAME.
function(hyper2kvm_room name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;LINK")
  add_library(hyper2kvm_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(hyper2kvm_${name} PUBLIC ${ARG_LINK})
endfunction()

# hyper2kvm_unit_test(ROOM SOURCES... [LINK libraries...]): the unit tests of one room, as unit_ROOM; ctest label "unit".
function(hyper2kvm_unit_test room)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;LINK")
  add_executable(unit_${room} ${ARG_SOURCES})
  target_link_libraries(unit_${room} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  gtest_discover_tests(unit_${room} TEST_PREFIX "${room}." DISCOVERY_MODE PRE_TEST
                       PROPERTIES LABELS unit TIMEOUT 120)
endfunction()
