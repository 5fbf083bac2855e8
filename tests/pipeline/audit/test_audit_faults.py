"""Detectors of single kinds of fault, each on sentences that have it and on near misses that have not."""

# ruff: noqa: E501

from __future__ import annotations

import pytest
from negmine.stages.audit.defects import DETECTORS, any_visible, defects_of, suspected_true
from negmine.stages.audit.differences import Judged
from negmine.stages.audit.floors import SUGARCREPE
from negmine.stages.audit.measure import COMPOSED

FAULTY = {
    "equal_things": """
        A brown horse and a white horse stand in a field -> A white horse and a brown horse stand in a field
        A man in a red shirt and a man in a blue shirt smile -> A man in a blue shirt and a man in a red shirt smile
        A man wearing a red hat and a man in a blue hat -> A man wearing a blue hat and a man in a red hat
        One cat is black and the other is white. -> One cat is white and the other is black.
        Two dogs, one brown and the other white -> Two dogs, one white and the other brown
        A red cup, a blue cup and a green cup -> A green cup, a blue cup and a red cup
        A red car next to a blue car -> A blue car next to a red car
        A man in a red shirt shakes hands with a man in a blue shirt -> A man in a blue shirt shakes hands with a man in a red shirt
        A red line intersects a blue line -> A blue line intersects a red line
        """,
    "symmetric": """
        The bus is away from the cup. -> The cup is away from the bus.
        A cat is far from a dog. -> A dog is far from a cat.
        A road is parallel to a river -> A river is parallel to a road
        A hose attached to a pipe -> A pipe attached to a hose
        A pipe is connected to a tank -> A tank is connected to a pipe
        The line is perpendicular to the wall -> The wall is perpendicular to the line
        A boy plays tennis with a girl -> A girl plays tennis with a boy
        The square overlaps the circle -> The circle overlaps the square
        A bed is opposite to a desk -> A desk is opposite to a bed
        """,
    "reordered": """
        A man on a motorcycle driving beside a van -> A man beside a van driving on a motorcycle
        Men riding on horse back on the beach -> Men on the beach riding on horse back
        A person with a laptop on a bench in a park -> A person in a park with a laptop on a bench
        A dog runs in a park -> In a park a dog runs
        A cat is on a table -> On a table is a cat
        A boy on a board near a wall -> A boy near a wall on a board
        a sandwich on a plate on a desk near a glass -> a sandwich near a glass on a desk on a plate
        A sign on a pole next to a street on a sidewalk. -> A sign on a sidewalk next to a street on a pole.
        """,
    "negated": """
        A man without a hat. -> A man without a turban.
        There is no snow on the ground. -> There is no snow on the bed.
        The dog is not on a leash. -> The dog is not on a ski.
        No birds are on the wire. -> The wire is on no birds.
        No birds are on the wire. -> No birds are on the fence.
        Nobody is sitting at the table. -> Nobody is standing at the table.
        None of the men is wearing a helmet. -> None of the men is wearing a cape.
        The room has neither a bed nor a table. -> The room has neither a bed nor a piano.
        The dog never leaves the car. -> The dog never leaves the boat.
        There isn't a cloud in the sky -> There isn't a star in the sky
        The man doesn’t hold an umbrella. -> The man doesn’t hold a guitar.
        A cake lacking candles -> A cake lacking cherries
        A street with no cars -> A street with no red cars
        There is nothing on the table. -> There is nothing on the chair.
        A kitchen with no table and no chairs -> A kitchen with no piano and no beds
        Without a helmet, a boy rides a bike -> Without a jacket, a boy rides a bike
        Not a single person is on the beach -> Not a single dog is on the beach
        A cat that has not eaten its food -> A cat that has not eaten its toy
        A dog but no cat on a sofa -> A dog but no bird on a sofa
        There is no longer a tree in the yard -> There is no longer a bench in the yard
        At the table nobody is eating -> At the table nobody is drinking
        A white cat, not a dog, lies on a bed -> A white cat, not a bird, lies on a bed
        A truck that does not have any windows is on a road -> A truck that does not have any lights is on a road
        """,
    "quantified": """
        At least three dogs run -> At least two dogs run
        There are at least 3 blocks -> There are at least 2 blocks
        At most four cats sit on a sofa -> At most five cats sit on a sofa
        More than ten people are in the room -> More than nine people are in the room
        Over twenty people wait at the stop. -> Over thirty people wait at the stop.
        Fewer than five cars are parked on the street. -> Fewer than five buses are parked on the street.
        Up to six people in a boat -> Up to seven people in a boat
        No more than two men are in the pool -> No more than two horses are in the pool
        Less than three birds sit on a wire -> Less than four birds sit on a wire
        """,
    "alternative": """
        The animal is either a horse or a donkey. -> The animal is either a camel or a donkey.
        The animal is either a horse or a donkey. -> The animal is either a horse or a goat.
        A cat or a dog sleeps on the sofa. -> A cat or a man sleeps on the sofa.
        Two or three people on a bench -> Two or five people on a bench
        A man rides a horse or a bike. -> A man rides a horse or a bus.
        A dog or bear in a field -> A dog or monkey in a field
        A manual or book about bikes -> A manual or newspaper about bikes
        teams in white or blue uniforms -> teams in white or black uniforms
        """,
    "left_out": """
        A man plays a tennis game -> A man plays a game
        A hot dog on a plate -> A dog on a plate
        A chef in a restaurant kitchen -> A chef in a restaurant
        A red bus on a road -> A bus on a road
        Two brown dogs run on the wet grass -> Two dogs run on the grass
        An old man sits on a bench -> A man sits on a bench
        A boy holds a tennis ball -> A boy holds a ball
        A cat under a kitchen table -> A cat under a table
        """,
    "kind_of": """
        People playing a game -> People playing a video game
        The players win the match -> The players win the tennis match
        A cat on a chair -> A cat on a rocking chair
        A car at a station -> A car at a gas station
        A dog on a sofa -> A poodle on a sofa
        A bird in a tree -> An owl in a tree
        A person on a bench -> A woman on a bench
        A boat on a lake -> A canoe on a lake
        """,
    "by_default": """
        Bicycle parked by a road -> Metal bicycle parked by a road
        A bicycle near a wall -> A metal bicycle near a wall
        A child on the grass -> A child on the green grass
        A dog in the snow -> A dog in the white snow
        A banana on a plate -> A yellow banana on a plate
        Clouds in the sky -> Clouds in the blue sky
        A baby in a bed -> A young baby in a bed
        An elephant near a tree -> A gray elephant near a tree
        """,
    "number": """
        A woman shops in a market -> A gyms in a market
        Two boys playing in the sand -> One boys playing in the sand
        A girl swings on a swing -> A boats on a swing
        A clown juggles balls at a party -> A balloons at a party
        two dogs on a mat -> two dog on a mat
        a cat on a bed -> three cat on a bed
        Several buses on a road -> Several truck on a road
        A plane lands on a runway -> A neutrons on a runway
        """,
    "verb_number": """
        A woman talking on the phone looks in the distance. -> Two women talking on the phone looks in the distance.
        A dog sits on a mat -> Two dogs sits on a mat
        A man in a hat rides a horse -> Three men in a hat rides a horse
        A boy is eating and drinks milk -> Two boys are eating and drinks milk
        Two girls run on the beach -> One girl run on the beach
        Two men hold a sign -> A man hold a sign
        The cat that sleeps is black -> The cats that sleeps is black
        A horse eats grass in a field -> Five horses eats grass in a field
        """,
    "verb_lost": """
        A woman shops in a market -> A gyms in a market
        A clown juggles balls at a party -> A balloons at a party
        A plane lands on a runway -> A neutrons on a runway
        A girl swings on a swing -> A boats on a swing
        A fisherman nets a fish -> A fisherman rafts a fish
        A fisherman nets a fish -> A fisherman balls a fish
        A bird nests in a tree -> A meteors in a tree
        A white horse and a brown horse stand in a field -> A white horse and a brown balloon in a field
        """,
    "possessive": """
        Women's handbag with gold chain -> Dogs's handbag with gold chain
        Children's books on a shelf -> Giraffes's books on a shelf
        A set of women's items -> A set of bears's items
        The men's room -> The boys's room
        People’s hats on a rack -> Cats’s hats on a rack
        A collage of people's feet -> A collage of horses's feet
        Men's shoes -> Ladies's shoes
        The children's toys -> The babies's toys
        """,
    "stray_determiner": """
        The inside of a refrigerator filled with food -> The in a car
        The outside of a restaurant at night -> The behind a vase at night
        A bag on the outside of a white building. -> A bag on the in a white building.
        A cat sits to the right of it -> A cat sits to the of it
        A man rides a horse. -> A man rides a.
        The front of the bus -> The of the bus
        A dog and a cat -> A and a cat
        A dog is on a mat -> A is a dog on mat
        """,
    "side": """
        The image depicts a red bus on a street. -> The image depicts a red right on a street.
        There are 2 blocks -> There are 2 rights
        To the right of it stands a chair -> To the plate of it stands a chair
        The cup is to the right of the plate. -> The cup is to the plane of the plate.
        On the left, an old tree -> On the person, an old tree
        On the left, an old tree -> On the lung, an old tree
        In the middle is a fountain. -> In the middle is a right.
        A person on skis -> A left on skis
        A player with his leg up in the air -> A player with his left up in the air
        """,
    "body_part": """
        A person on a surfboard on the water. -> A beard on a surfboard on the water.
        A person on a surf board by a big wave. -> A lap on a surf board by a big wave.
        Tracks with a person in the foreground. -> Tracks with a heart in the foreground.
        A person picks up a slice -> A hand picks up a slice
        A person is holding a phone -> An artery is holding a phone
        Two people on a bench -> Two shoulders on a bench
        The woman rides a horse -> The mouth rides a horse
        A bride with a red haired person -> A bride with a red haired leg
        """,
    "shade": """
        a sign with neon green letters -> a sign with neon black letters
        a mint green wall -> a mint red wall
        a navy blue coat -> a navy red coat
        a hot pink tie -> a hot black tie
        a lime green bus -> a lime white bus
        olive green cabinets -> olive blue cabinets
        a baby blue door -> a baby black door
        a sky blue dress -> a sky green dress
        """,
    "pair": """
        Two dogs; one chasing the other -> Three dogs; one chasing the other
        Two men, both smiling -> Three men, both smiling
        Two ladies, one on the phone while the other waits -> Several ladies, one on the phone while the other waits
        Two toys, one a lamb and the other a bear -> Five toys, one a lamb and the other a bear
        two cats, one black and another white -> ten cats, one black and another white
        Two boys both wear hats -> Four boys both wear hats
        Two screens are shown, both on -> 3 screens are shown, both on
        Two girls, one taller than the other one -> Six girls, one taller than the other one
        """,
    "languages": """
        El gato duerme en la silla. -> El gato duerme en hammock.
        Table en bois avec des chaises -> Table en bois avec bookcases
        Ein Hund auf dem Sofa -> Ein giraffe auf dem Sofa
        Un perro con una pelota -> Un perro con umbrella
        Une femme dans la rue -> Une table dans la rue
        Due cani con il gatto -> Due cani con il horse
        Een kat op een stoel met een hond -> Een kat op een table met een hond
        Eine Frau mit einem Hut -> Eine Frau mit einem chair
        """,
    "case": """
        Two Boys Playing Football On The Beach At Sunset -> Two Boys Playing Football in the stadium At Sunset
        In A White Kitchen With Big Windows -> In A red Kitchen With Big Windows
        Vintage 1950s Car Parked In Front Of A Diner -> Vintage 1950s motorbike Parked In Front Of A Diner
        A DOG SITS ON A MAT -> A DOG SITS ON A chair
        THREE MEN RIDE BIKES -> THREE women RIDE BIKES
        GIRAFFES EATING LEAVES -> GIRAFFES EATING grass
        Red Leather Sofa In Living Room -> Red wooden Sofa In Living Room
        A CAT UNDER A TABLE -> A CAT on top of A TABLE
        """,
}

SOUND = {
    "equal_things": """
        A man in a red shirt and a woman in a blue shirt -> A man in a blue shirt and a woman in a red shirt
        A red ball on the left and a blue ball on the right -> A blue ball on the left and a red ball on the right
        A man in a red shirt chases a man in a blue shirt -> A man in a blue shirt chases a man in a red shirt
        A black cat on a sofa and a white cat on a bed -> A white cat on a sofa and a black cat on a bed
        A red cube left of a blue cube -> A blue cube left of a red cube
        A big dog and a small cat -> A small dog and a big cat
        A red cup and a blue cup -> A red cup and a green cup
        A tall man in a red hat and a man in a blue hat -> A tall man in a blue hat and a man in a red hat
        """,
    "symmetric": """
        A man walks away from a dog -> A dog walks away from a man
        A car is facing away from a house -> A house is facing away from a car
        A cat looking away from a dog -> A dog looking away from a cat
        A dog chases a cat -> A cat chases a dog
        A cup on a table -> A table on a cup
        A sign is above a door -> A door is above a sign
        A man waves to a woman -> A woman waves to a man
        A man gets away from a bear -> A bear gets away from a man
        """,
    "reordered": """
        A cat on a chair and a dog on a bed -> A cat on a bed and a dog on a chair
        A man on a bench feeds a bird in a park -> A man in a park feeds a bird on a bench
        A cat on a bed in front of a laptop -> A cat on a laptop in front of a bed
        A dog chases a cat -> A cat chases a dog
        A bed with pillows is in a room with a chair. -> A bed with a chair is in a room with pillows.
        A man in a red hat -> A man in a blue hat
        A boat under a bridge -> A bridge under a boat
        Horses in a field behind a fence -> Horses in a fence behind a field
        """,
    "negated": """
        A man without a hat. -> A sheep without a hat.
        A man without a hat. -> A man with a hat.
        A dog that is not only big but also brown -> A dog that is not only big but also white
        A No Parking sign next to a red car -> A No Parking sign next to a blue car
        A No Parking sign on a pole -> A No Smoking sign on a pole
        A house not far from a lake -> A house not far from a castle
        There is nothing on the table but a cup -> There is nothing on the table but a cat
        No one but a man is here -> No one but a horse is here
        The woman is not wearing a coat. -> The horse is not wearing a coat.
        A man with no shirt and a woman in a hat -> A man with no shirt and a woman in a kimono
        A man not wearing a helmet rides a bike -> A man not wearing a helmet rides a horse
        A man without a shirt sitting on a bench -> A man without a shirt sitting on a horse
        A toilet with no seat in a dirty room -> A toilet with no seat in a clean room
        A "no entry" sign in front of a house -> A "no entry" sign in front of a church
        There is no man on the horse and the horse is brown -> There is no man on the horse and the horse is white
        Without a helmet, a boy rides a bike -> Without a helmet, a boy rides a horse
        A dog without a leash and a cat -> A dog without a leash and a cow
        A man on a horse -> A man on no horse
        The boys aren't running but the girls are riding bikes -> The boys aren't running but the girls are riding horses
        A house with the number No. 5 on a red door -> A house with the number No. 5 on a blue door
        """,
    "quantified": """
        At least three dogs run -> At least three cats run
        Three dogs run on at least one leg -> Four dogs run on at least one leg
        A man jumps over two boxes in a hall -> A man jumps over two chairs in a hall
        More than ten people are in the room -> More than ten horses are in the room
        Over twenty people wait -> Over twenty bears wait
        Three dogs on a mat -> Two dogs on a mat
        A kite flies over a beach -> A kite flies over a city
        Up to six people in a boat -> Up to six dogs in a boat
        """,
    "alternative": """
        A cat or a dog sleeps on the sofa. -> A cat or a dog sleeps on the chair.
        A man and a dog on a road -> A man and a cat on a road
        A man rides a horse or a bike on a road -> A woman rides a horse or a bike on a road
        The animal is either a horse or a donkey. -> The statue is either a horse or a donkey.
        A cat or a dog -> A man or a woman
        Ten or more people in a hall -> Ten or more horses in a hall
        A red bus near an orange tree -> A blue bus near an orange tree
        A dozen or so birds on a wire -> A dozen or so cats on a wire
        """,
    "left_out": """
        A man without a hat -> A man with a hat
        A street with no cars -> A street with cars
        A toy car on a bed -> A car on a bed
        A red bus on a road -> A blue bus on a road
        A man is not riding a horse -> A man is riding a horse
        A statue of a man -> A man
        A dog on a mat -> A big dog on a mat
        The cat sits -> A cat sits
        """,
    "kind_of": """
        A cat on a table -> A cat on a wooden table
        A dog on a sofa -> A cat on a sofa
        A man in a shirt -> A man in a leather shirt
        A tennis match -> A football match
        People on a bench -> Sheep on a bench
        A poodle on a sofa -> A dog on a sofa
        A bus on a road -> A red bus on a road
        A man on a horse -> A man on a bike
        """,
    "by_default": """
        A bicycle near a wall -> A red bicycle near a wall
        A man in a coat -> A young man in a coat
        A blue sky -> A red sky
        A child on the grass -> A child on the dry grass
        A green banana -> A yellow banana
        A dog in the snow -> A dog in the dirty snow
        A cup near a bike -> A metal cup near a bike
        A small child holds a bear -> A bear holds a small child
        """,
    "number": """
        A man in a suit -> A man in a uniform
        a bus on a road -> a sports car on a road
        two dogs -> two sheep
        One man's dogs -> One woman's dogs
        a few dogs on a mat -> a few cats on a mat
        A pair of boys -> A pair of glasses
        Two fire trucks -> Two police cars
        A bus on a road -> A gas station on a road
        """,
    "verb_number": """
        A woman looks away -> Two women look away
        A dog sits on a mat -> A cat sits on a mat
        Two men hold a sign -> Two women hold a sign
        A man sees a dog -> A man sees two dogs
        A dog and a cat sit -> Two dogs and a cat sit
        A man watched a dog -> Two men watched a dog
        A group of men stands here -> A group of women stands here
        The sheep are in a field -> The cow is in a field
        """,
    "verb_lost": """
        A man holds a bag -> A man carries a bag
        A woman shops in a market -> A woman sings in a market
        A cell phone on a table -> A laptop on a table
        A man watches a dog -> A man washes a dog
        A tennis match in a hall -> A concert in a hall
        A hot dog stand in a park -> A store in a park
        A player grabs a ball from a boy -> A player releases a ball from a boy
        A girl swings on a swing -> A girl swings on a rope
        """,
    "possessive": """
        James's dog on a mat -> James's cat on a mat
        James' dog on a mat -> James' cat on a mat
        The boys' team wins -> The girls' team wins
        A man's hat -> A woman's hat
        The bus's door -> The train's door
        The women's team -> The men's team
        The boss's desk -> The waitress's desk
        It's a dog -> It's a cat
        """,
    "stray_determiner": """
        The inside of a car -> The outside of a car
        A cat on the in-flight table -> A cat on the in-flight tray
        A man gives her a book -> A man gives her a cup
        A dog on a mat -> A cat on a mat
        The above image shows a dog -> The above image shows a cat
        A man and his dog -> A man and his cat
        The top of the bus -> The top of the car
        Dogs in the near distance -> Cats in the near distance
        """,
    "side": """
        A man on the left -> A man on the right
        A man on the bench -> A man on the right
        A bus on the right side of a road -> A bus on the left side of a road
        A plaque of human laws -> A plaque of human rights
        A sign about rights of way -> A sign about rights of passage
        A man turns right -> A man turns left
        A red right shoe -> A red left shoe
        The dog left the room -> The dog entered the room
        A cat on the left -> A cat in the middle
        """,
    "body_part": """
        A person on a bench -> A dog on a bench
        A hand on a table -> A foot on a table
        A man with a hat -> A man with a beard
        A person on a horse -> A statue on a horse
        A person in a house -> A baby calf in a house
        The dog holds a stick -> The hand holds a stick
        A man sits -> A woman sits
        A face on a wall -> A person on a wall
        """,
    "shade": """
        a neon green sign -> a neon pink sign
        a dark blue coat -> a dark red coat
        a light brown horse -> a light gray horse
        a hot red pepper -> a hot green pepper
        a baby in a blue hat -> a baby in a red hat
        a navy blue coat -> a red coat
        a bright yellow bus -> a bright green bus
        an olive on a red plate -> an olive on a blue plate
        """,
    "pair": """
        Two dogs run -> Three dogs run
        Two men next to one another -> Three men next to one another
        Two dogs look at each other -> Three dogs look at each other
        Two men, both smiling -> Two women, both smiling
        One man and another man -> One man and another woman
        Both men have hats -> Both men have ties
        Two dogs, one chasing the other -> Two cats, one chasing the other
        A man with two both -> A man with two bats
        """,
    "languages": """
        A cafe in Los Angeles, California -> A bank in Los Angeles, California
        El gato duerme en la silla. -> El perro duerme en la silla.
        A man in a beret eats a baguette -> A dog in a beret eats a baguette
        The Mercedes of van der Berg is red -> The Mercedes of van der Berg is blue
        A sign that says un deux -> A board that says un deux
        Vintage car poster -> Vintage bus poster
        A plate of chili con carne on a table -> A bowl of chili con carne on a table
        Man on a bike -> Man on a horse
        """,
    "case": """
        A man in a White House shirt -> A man in a red shirt
        THERE IS A DOG ON A MAT -> There is a dog and a cat on a mat.
        A dog on a mat -> A cat on a mat
        A Boy And A Dog -> A Girl And A Dog
        A DOG ON A MAT -> A CAT ON A MAT
        Big Ben behind a red bus -> Big Ben behind a blue bus
        Bacon Lettuce and Tomato Sandwich with chips -> Bacon Lettuce and Tomato Sandwich with beans
        Two Boys On The Beach -> Two Girls On The Beach
        """,
}


def _pairs(text: str) -> list[tuple[str, str]]:
    caption_negative = (line.strip().split(" -> ") for line in text.strip().splitlines())
    return [(caption, negative) for caption, negative in caption_negative]


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_of_its_kind_is_found(name: str) -> None:
    pairs = _pairs(FAULTY[name])
    assert len(pairs) >= 8
    missed = [pair for pair, found in zip(pairs, defects_of(pairs, [name]), strict=True) if name not in found]
    assert missed == []


@pytest.mark.parametrize("name", SOUND)
def test_near_misses_are_left_alone(name: str) -> None:
    pairs = _pairs(SOUND[name])
    assert len(pairs) >= 8
    wrong = [pair for pair, found in zip(pairs, defects_of(pairs, [name]), strict=True) if name in found]
    assert wrong == []


def test_every_detector_that_is_always_there_has_a_floor() -> None:
    assert set(SUGARCREPE) == {name for name, one in DETECTORS.items() if name != "link_grammar"} | set(COMPOSED)
    noisy = {name for name, share in SUGARCREPE.items() if name in FAULTY and share > 1}
    assert noisy == set()


def test_a_hit_counts_in_the_sum_of_its_meaning() -> None:
    pairs = [*_pairs(FAULTY["negated"])[:2], *_pairs(FAULTY["side"])[:3], ("a cat", "a bus")]
    items = [Judged(str(n), "i", *pair, "kind") for n, pair in enumerate(pairs)]
    verdicts = {name: DETECTORS[name].find(items) for name in ("negated", "side", "case")}
    assert list(suspected_true(verdicts)) == [True, True, False, False, False, False]
    assert list(any_visible(verdicts)) == [False, False, True, True, True, False]
