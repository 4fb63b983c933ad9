// Runs plans.bin on the design that is included above, without Python in any cycle; leaves seen.bin.
// It does what Exchange in rtl/exchange.py does; the files are those of rtl/plan_file.py.

#include <cxxrtl/capi/cxxrtl_capi.cc>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using Payload = std::vector<uint32_t>;  // lowest 32 bits first, as CXXRTL holds values

[[noreturn]] void fail(const std::string &why) {
    std::fprintf(stderr, "error: %s\n", why.c_str());
    std::exit(1);
}

size_t chunks_of(size_t bits) { return (bits + 31) / 32; }
uint32_t top_mask(size_t bits) { return bits % 32 ? (1u << bits % 32) - 1 : ~0u; }

class Reader {
  public:
    explicit Reader(const char *path) {
        std::ifstream file(path, std::ios::binary | std::ios::ate);
        if (!file) fail("plans.bin cannot be read");
        words_.resize(file.tellg() / sizeof(int64_t));
        file.seekg(0).read(reinterpret_cast<char *>(words_.data()), words_.size() * sizeof(int64_t));
    }
    int64_t number() { return words_.at(at_++); }
    std::vector<int64_t> numbers() {
        std::vector<int64_t> out(number());
        for (auto &value : out) value = number();
        return out;
    }
    std::string text() {
        std::string out;
        for (int64_t code : numbers()) out.push_back(static_cast<char>(code));
        return out;
    }
    std::vector<Payload> payloads(size_t &bits) {
        Payload all = beats(bits);
        std::vector<Payload> out;
        for (size_t at = 0, size = chunks_of(bits); at < all.size(); at += size)
            out.emplace_back(all.begin() + at, all.begin() + at + size);
        return out;
    }
    Payload beats(size_t &bits) {  // all payloads, one behind the other
        bits = number();
        size_t count = number(), size = chunks_of(bits);
        Payload out;
        out.reserve(count * size);
        for (; count > 0; count--)
            for (size_t k = 0; k < size; k += 2) {
                uint64_t word = number();
                out.push_back(static_cast<uint32_t>(word));
                if (k + 1 < size) out.push_back(static_cast<uint32_t>(word >> 32));
            }
        return out;
    }

  private:
    std::vector<int64_t> words_;
    size_t at_ = 0;
};

class Writer {
  public:
    void number(int64_t value) { words_.push_back(value); }
    void numbers(const std::vector<int64_t> &values) {
        number(values.size());
        words_.insert(words_.end(), values.begin(), values.end());
    }
    void text(const std::string &value) {
        number(value.size());
        for (unsigned char code : value) number(code);
    }
    void payloads(const std::vector<Payload> &values, size_t bits) {
        Payload all;
        for (const auto &payload : values) all.insert(all.end(), payload.begin(), payload.end());
        beats(all, bits);
    }
    void beats(const Payload &all, size_t bits) {
        size_t size = chunks_of(bits);
        number(bits);
        number(all.size() / size);
        for (size_t at = 0; at < all.size(); at += size)
            for (size_t k = 0; k < size; k += 2) {
                uint64_t high = k + 1 < size ? all[at + k + 1] : 0;
                number(static_cast<int64_t>(high << 32 | all[at + k]));
            }
    }
    void save(const char *path) {
        std::ofstream file(path, std::ios::binary);
        file.write(reinterpret_cast<const char *>(words_.data()), words_.size() * sizeof(int64_t));
        if (!file) fail("seen.bin cannot be written");
    }

  private:
    std::vector<int64_t> words_;
};

class Junk {
  public:
    explicit Junk(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du) {}
    uint32_t next() {  // xorshift64*
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<uint32_t>(state_ * 0x2545f4914f6cdd1du >> 32);
    }

  private:
    uint64_t state_;
};

// One wire of the design.
class Wire {
  public:
    Wire(cxxrtl_handle design, const std::string &name) : object_(cxxrtl_get(design, name.c_str())) {
        if (!object_) fail("the design has no port '" + name + "'");
        chunks_ = chunks_of(object_->width);
    }
    void set(bool value) { object_->next[0] = value; }
    void set(const Payload &value) { set(value.data()); }
    void set(const uint32_t *value) {
        for (size_t k = 0; k < chunks_; k++) object_->next[k] = value[k];
    }
    void set(Junk &junk) {
        for (size_t k = 0; k < chunks_; k++) object_->next[k] = junk.next();
        object_->next[chunks_ - 1] &= top_mask(object_->width);
    }
    bool high() const { return object_->curr[0]; }
    bool equals(const Payload &value) const {
        for (size_t k = 0; k < value.size(); k++)
            if (object_->curr[k] != value[k]) return false;
        return true;
    }
    void get(Payload &into) const { into.assign(object_->curr, object_->curr + chunks_); }
    size_t width() const { return object_->width; }
    size_t chunks() const { return chunks_; }

  private:
    cxxrtl_object *object_;
    size_t chunks_;
};

struct Stream {
    Stream(cxxrtl_handle design, const std::string &name, const std::string &prefix)
        : name(name), data(design, prefix + "_tdata"), valid(design, prefix + "_tvalid"),
          ready(design, prefix + "_tready") {}
    virtual ~Stream() = default;
    virtual void reset(Junk &junk) = 0;
    virtual void drive(int64_t cycle, Junk &junk) = 0;
    virtual void observe(int64_t cycle) = 0;
    virtual bool done() const = 0;
    void save(Writer &out) const {
        out.text(name);
        out.numbers(shown);
        out.numbers(moved);
        out.beats(payloads, data.width());
        out.number(unstable);
    }
    std::string name;
    Wire data, valid, ready;
    std::vector<int64_t> shown, moved;
    Payload payloads;  // one behind the other
    int64_t unstable = 0;
};

struct Producer : Stream {
    using Stream::Stream;
    void reset(Junk &junk) override {
        valid.set(false);
        data.set(junk);
    }
    void drive(int64_t, Junk &junk) override {
        offers = at < beats.size() && wait == 0;
        valid.set(offers);
        if (offers)
            data.set(&beats[at]);
        else
            data.set(junk);
    }
    void observe(int64_t cycle) override {
        if (!offers) {
            if (wait) wait--;
        } else if (ready.high()) {
            moved.push_back(cycle);
            at += data.chunks();
            wait = moved.size() < idle.size() ? idle[moved.size()] : 0;
        }
    }
    bool done() const override { return at == beats.size(); }
    Payload beats;  // one behind the other
    size_t at = 0;
    std::vector<int64_t> idle;
    int64_t wait = 0;
    bool offers = false;
};

struct Consumer : Stream {
    using Stream::Stream;
    void reset(Junk &) override { ready.set(false); }
    void drive(int64_t cycle, Junk &) override {
        takes = cycle < static_cast<int64_t>(pattern.size()) ? pattern[cycle] : true;
        ready.set(takes);
    }
    void observe(int64_t cycle) override {
        bool there = valid.high();
        if (waits && (!there || !data.equals(waiting))) unstable++;
        if (there && !waits) shown.push_back(cycle);
        if (!there && waits) shown.pop_back();
        waits = there;
        if (!there) return;
        data.get(waiting);
        if (!takes) return;
        moved.push_back(cycle);
        payloads.insert(payloads.end(), waiting.begin(), waiting.end());
        waits = false;
        took(cycle);
    }
    virtual void took(int64_t) {}
    bool done() const override { return static_cast<int64_t>(moved.size()) >= expected; }
    std::vector<int64_t> pattern;
    int64_t expected = 0;
    Payload waiting;
    bool waits = false, takes = false;
};

Payload bits_from(const Payload &value, size_t low, size_t count) {
    Payload out(chunks_of(count));
    for (size_t k = 0; k < out.size(); k++) {
        size_t at = (low + 32 * k) / 32, shift = (low + 32 * k) % 32;
        uint64_t pair = value[at] | (at + 1 < value.size() ? uint64_t(value[at + 1]) << 32 : 0);
        out[k] = static_cast<uint32_t>(pair >> shift);
    }
    out.back() &= top_mask(count);
    return out;
}

struct MemoryRequests : Consumer {
    using Consumer::Consumer;
    void took(int64_t cycle) override {
        const Payload &request = waiting;
        Payload place = bits_from(request, 0, address_bits);
        uint64_t address = place[0] | (place.size() > 1 ? uint64_t(place[1]) << 32 : 0);
        bool inside = address < words.size();
        if (bits_from(request, address_bits, 1)[0]) {
            if (inside) write(words[address], request);
        } else {
            answers.emplace_back(cycle + latency[reads++ % latency.size()],
                                 inside ? words[address] : Payload(chunks_of(data_bits)));
        }
    }
    void write(Payload &word, const Payload &request) {
        Payload data = bits_from(request, address_bits + 1, data_bits);
        if (!lanes) {
            word = data;
            return;
        }
        Payload chosen = bits_from(request, address_bits + 1 + data_bits, lanes);
        size_t wide = data_bits / lanes;
        for (size_t bit = 0; bit < data_bits; bit++) {
            size_t lane = bit / wide, at = bit / 32;
            uint32_t one = 1u << bit % 32;
            if (chosen[lane / 32] >> lane % 32 & 1) word[at] = (word[at] & ~one) | (data[at] & one);
        }
    }
    size_t address_bits = 0, data_bits = 0, lanes = 0, reads = 0;
    std::vector<Payload> words;
    std::vector<int64_t> latency;
    std::deque<std::pair<int64_t, Payload>> answers;
};

struct MemoryAnswers : Stream {
    using Stream::Stream;
    void reset(Junk &junk) override {
        valid.set(false);
        data.set(junk);
    }
    void drive(int64_t cycle, Junk &junk) override {
        offers = !requests->answers.empty() && requests->answers.front().first <= cycle;
        valid.set(offers);
        if (offers)
            data.set(requests->answers.front().second);
        else
            data.set(junk);
    }
    void observe(int64_t cycle) override {
        if (!offers || !ready.high()) return;
        moved.push_back(cycle);
        requests->answers.pop_front();
    }
    bool done() const override { return requests->answers.empty(); }
    MemoryRequests *requests = nullptr;
    bool offers = false;
};

std::string prefix(const char *side, const std::string &name, const char *only) {
    return name == only ? side : std::string(side) + "_" + name;
}

void run(cxxrtl_design::p_top &top, cxxrtl_handle design, Reader &in, Writer &out) {
    in.text();  // the plan's name
    int64_t limit = in.number();
    Junk junk(in.number());
    std::vector<std::unique_ptr<Stream>> streams, consumers;
    std::vector<std::pair<std::string, MemoryRequests *>> memories;
    for (int64_t left = in.number(); left > 0; left--) {
        std::string name = in.text();
        auto side = std::make_unique<Producer>(design, name, prefix("s_axis", name, "i"));
        size_t bits;
        side->beats = in.beats(bits);
        if (bits != side->data.width()) fail("the stream '" + name + "' has another width than its plan");
        side->idle = in.numbers();
        side->wait = side->idle.empty() ? 0 : side->idle[0];
        streams.push_back(std::move(side));
    }
    for (int64_t left = in.number(); left > 0; left--) {
        std::string name = in.text();
        auto side = std::make_unique<Consumer>(design, name, prefix("m_axis", name, "o"));
        in.number();  // bits
        side->expected = in.number();
        side->pattern = in.numbers();
        consumers.push_back(std::move(side));
    }
    for (int64_t left = in.number(); left > 0; left--) {
        std::string name = in.text();
        auto requests = std::make_unique<MemoryRequests>(design, name + "_req", "m_axis_" + name + "_req");
        auto answers = std::make_unique<MemoryAnswers>(design, name + "_rsp", "s_axis_" + name + "_rsp");
        requests->address_bits = in.number();
        requests->words = in.payloads(requests->data_bits);
        requests->latency = in.numbers();
        requests->lanes = in.number();
        answers->requests = requests.get();
        memories.emplace_back(name, requests.get());
        streams.push_back(std::move(answers));
        consumers.push_back(std::move(requests));
    }
    for (auto &side : consumers) streams.push_back(std::move(side));

    Wire clk(design, "clk"), rst(design, "rst");
    auto edge = [&] {
        clk.set(true);
        cxxrtl_step(design);
    };
    auto fall = [&] {
        clk.set(false);
        top.prev_p_clk = top.p_clk;  // all that a commit would do now
    };
    rst.set(true);
    for (int k = 0; k < RESET_CYCLES; k++) {
        for (auto &side : streams) side->reset(junk);
        cxxrtl_step(design);
        edge();
        fall();
    }
    rst.set(false);
    // Where all wires are settled after one evaluation, it finds the registers' next values too: with the clock
    // already high, everything still shows this cycle until it is committed.
    const bool at_once = cxxrtl_eval(design);
    int64_t drain = DRAIN_CYCLES;
    for (int64_t cycle = 0; drain > 0 && cycle < limit; cycle++) {
        for (auto &side : streams) side->drive(cycle, junk);
        if (at_once) {
            clk.set(true);
            cxxrtl_eval(design);
        } else {
            cxxrtl_step(design);
        }
        for (auto &side : streams) side->observe(cycle);
        if (at_once)
            cxxrtl_commit(design);
        else
            edge();
        fall();
        bool done = true;
        for (auto &side : streams) done = done && side->done();
        if (done || drain < DRAIN_CYCLES) drain--;
    }
    out.number(streams.size());
    for (auto &side : streams) side->save(out);
    out.number(memories.size());
    for (auto &[name, requests] : memories) {
        out.text(name);
        out.payloads(requests->words, requests->data_bits);
    }
}

}  // namespace

int main() {
    Reader in("plans.bin");
    Writer out;
    int64_t plans = in.number();
    out.number(plans);
    auto *top = new cxxrtl_design::p_top;
    cxxrtl_handle design = cxxrtl_create(new _cxxrtl_toplevel{std::unique_ptr<cxxrtl::module>(top)});
    for (int64_t k = 0; k < plans; k++) run(*top, design, in, out);
    cxxrtl_destroy(design);
    out.save("seen.bin");
    return 0;
}
