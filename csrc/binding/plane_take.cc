// What the supervisor takes from the plane and from the target, as objects.
#include "plane.h"

namespace gantry {
namespace {

constexpr size_t kChunk = 32;
// In one take; the rest is told again, so that other work of the event loop gets its turn.
constexpr uint32_t kTakeMax = 512;

Napi::Number Plain(Napi::Env env, double value) { return Napi::Number::New(env, value); }

Napi::Object EventObject(Napi::Env env, const gt_target_event &event) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", Plain(env, event.kind));
  object.Set("connection", Plain(env, event.connection));
  object.Set("portal", Plain(env, event.portal));
  object.Set("nexus", Plain(env, event.nexus));
  object.Set("peer", Napi::String::New(env, event.peer));
  object.Set("header", CopyBytes(env, event.header, sizeof event.header));
  object.Set("data", CopyBytes(env, event.data, event.data_len));
  return object;
}

Napi::Object PuntObject(Napi::Env env, const gt_punt &punt) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("id", Napi::BigInt::New(env, punt.id));
  object.Set("nexus", Plain(env, punt.nexus));
  object.Set("lun", Plain(env, punt.lun));
  object.Set("unit", Plain(env, punt.unit));
  object.Set("cdb", CopyBytes(env, punt.cdb, punt.cdb_len));
  object.Set("data", CopyBytes(env, punt.data, punt.data_len));
  object.Set("room", Plain(env, punt.alloc));
  return object;
}

Napi::Object NoteObject(Napi::Env env, const gt_note &note) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", Plain(env, note.kind));
  object.Set("nexus", Plain(env, note.nexus));
  object.Set("lun", Plain(env, note.lun));
  object.Set("unit", Plain(env, note.unit));
  object.Set("cookie", Napi::BigInt::New(env, note.cookie));
  object.Set("why", Plain(env, note.why));
  object.Set("opcode", Plain(env, note.opcode));
  object.Set("count", Napi::BigInt::New(env, note.count));
  object.Set("function", Plain(env, note.function));
  return object;
}

// True: there may be more.
bool TakeEvents(Napi::Env env, gt_target *target, Napi::Array list) {
  uint32_t total = 0;
  for (;;) {
    gt_target_event events[kChunk];
    size_t count = gt_target_take(target, events, kChunk);
    for (size_t i = 0; i < count; i++) {
      list.Set(total++, EventObject(env, events[i]));
      gt_target_release(&events[i]);
    }
    if (count < kChunk) return false;
    if (total >= kTakeMax) return true;
  }
}

template <class T, class Source, class Make> bool TakeAll(Source take, Make make, Napi::Array list) {
  uint32_t total = 0;
  for (;;) {
    T items[kChunk];
    size_t count = take(items, kChunk);
    for (size_t i = 0; i < count; i++)
      list.Set(total++, make(items[i]));
    if (count < kChunk) return false;
    if (total >= kTakeMax) return true;
  }
}

Napi::Object RingObject(Napi::Env env, const gt_lio_event &event) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", Plain(env, event.kind));
  object.Set("ring", Plain(env, event.ring));
  return object;
}

} // namespace

Napi::Object TakePlane(Napi::Env env, PlaneCore &core) {
  gt_plane *plane = core.Plane(env);
  Napi::Array events = Napi::Array::New(env), punts = Napi::Array::New(env), notes = Napi::Array::New(env);
  bool more = TakeEvents(env, core.Target(env), events);
  more |= TakeAll<gt_punt>([plane](gt_punt *out, size_t max) { return gt_plane_take_punts(plane, out, max); },
                           [env](const gt_punt &punt) { return PuntObject(env, punt); }, punts);
  more |= TakeAll<gt_note>([plane](gt_note *out, size_t max) { return gt_plane_take_notes(plane, out, max); },
                           [env](const gt_note &note) { return NoteObject(env, note); }, notes);
  Napi::Array rings = Napi::Array::New(env);
  if (gt_lio *lio = core.LioIfAny())
    more |= TakeAll<gt_lio_event>([lio](gt_lio_event *out, size_t max) { return gt_lio_take(lio, out, max); },
                                  [env](const gt_lio_event &event) { return RingObject(env, event); }, rings);
  if (more) core.Again();
  Napi::Object taken = Napi::Object::New(env);
  taken.Set("events", events);
  taken.Set("punts", punts);
  taken.Set("notes", notes);
  taken.Set("rings", rings);
  return taken;
}

} // namespace gantry
