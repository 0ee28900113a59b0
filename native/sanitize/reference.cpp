#include "reference.hpp"

#include <array>
#include <stdexcept>

namespace galvo {
namespace {

class Bits {
  public:
    explicit Bits(const std::vector<std::uint8_t> &bytes) : bytes_(bytes) {}

    bool ended() const { return position_ == bytes_.size() * 8; }
    int next() {
        const int bit = (bytes_.at(position_ / 8) >> (7 - position_ % 8)) & 1;
        ++position_;
        return bit;
    }
    std::size_t position() const { return position_; }

  private:
    const std::vector<std::uint8_t> &bytes_;
    std::size_t position_ = 0;
};

struct Node {
    int zero = -1, one = -1;
    std::uint8_t symbol = 0;
};

struct Reader {
    explicit Reader(const std::vector<std::uint8_t> &stream)
        : bits(stream), end("the stream ends at bit " + std::to_string(stream.size() * 8)) {}

    int bit() {
        if (bits.ended()) throw std::runtime_error(end + ", inside the tree");
        return bits.next();
    }

    int tree() {
        const auto index = nodes.size();
        nodes.emplace_back();
        if (bit() == 0) {
            if (++inner_count > 255) throw std::runtime_error("the tree has more than 511 nodes");
            const int zero = tree(), one = tree();
            nodes[index].zero = zero;
            nodes[index].one = one;
        } else {
            const std::size_t begin = bits.position();
            for (int i = 0; i < 8; ++i) nodes[index].symbol = static_cast<std::uint8_t>(nodes[index].symbol * 2 + bit());
            bool &known = seen.at(nodes[index].symbol);
            if (known)
                throw std::runtime_error("the tree holds symbol " + std::to_string(nodes[index].symbol) +
                                         " twice, again at bit " + std::to_string(begin));
            known = true;
        }
        return static_cast<int>(index);
    }

    // False where the stream ends before the symbol does.
    bool symbol(std::uint8_t &value) {
        std::size_t node = 0;
        // A lone symbol has no code, but a bit all the same.
        if (nodes.size() == 1) {
            if (bits.ended()) return false;
            bits.next();
        }
        while (nodes[node].zero >= 0) {
            if (bits.ended()) return false;
            node = static_cast<std::size_t>(bits.next() == 0 ? nodes[node].zero : nodes[node].one);
        }
        value = nodes[node].symbol;
        return true;
    }

    Bits bits;
    std::string end;
    std::vector<Node> nodes;
    std::array<bool, 256> seen{};
    int inner_count = 0;
};

}  // namespace

Decoded reference_decode(const std::vector<std::uint8_t> &stream, std::size_t count) {
    Decoded decoded;
    if (count == 0) return decoded;
    Reader reader(stream);
    try {
        reader.tree();
    } catch (const std::runtime_error &error) {
        decoded.error = error.what();
        return decoded;
    }
    std::uint8_t symbol;
    while (decoded.bytes.size() < count && reader.symbol(symbol)) decoded.bytes.push_back(symbol);
    if (decoded.bytes.size() < count)
        decoded.error = reader.end + ", after " + std::to_string(decoded.bytes.size()) + " of " + std::to_string(count) +
                        " symbols";
    decoded.used = (reader.bits.position() + 7) / 8;
    return decoded;
}

std::size_t symbols_in(const std::vector<std::uint8_t> &stream, std::size_t most) {
    return reference_decode(stream, most).bytes.size();
}

}  // namespace galvo
